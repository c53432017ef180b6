"""Python imports this at the start of every process with this directory on its path, so it also runs in the keeper.

It patches the module that the mutant changes once that has been imported, and adds a line to the file of marks.
"""

# ruff: noqa: INP001 (Python finds it by its name in a directory on the path)
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path


class Watcher(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module as usual, and then applies the mutant to it."""

    def __init__(self, mutant) -> None:
        self.mutant = mutant
        self.loader = None

    def find_spec(self, name, path, target=None):
        """Only the one module, and only once."""
        if name != self.mutant.module or self.loader:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        """As usual."""
        return self.loader.create_module(spec)

    def exec_module(self, module) -> None:
        """As usual, and then the change."""
        self.loader.exec_module(module)
        self.mutant.change(module)
        with Path(os.environ["TORTURE_MARKS"]).open("a") as marks:
            marks.write(f"{self.mutant.name} in process {os.getpid()}\n")


if os.environ.get("TORTURE_MUTANT"):
    sys.path.insert(0, os.environ["TORTURE_ROOT"])
    from torture.mutants import catalog, replicated

    herd = replicated.ALL if os.environ.get("TORTURE_HERD") == "cluster" else catalog.ALL
    sys.meta_path.insert(0, Watcher(herd[os.environ["TORTURE_MUTANT"]]))
