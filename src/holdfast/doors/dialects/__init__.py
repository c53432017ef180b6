"""The APIs of older systems, over the verbs of the engine."""

from importlib import import_module

from holdfast.doors.rest.app import Dialect


def dialect_of(name: str) -> Dialect:
    """The dialect with this name in the settings; one that is off is not imported."""
    found: Dialect = import_module(f"holdfast.doors.dialects.{name}.routes").DIALECT
    return found
