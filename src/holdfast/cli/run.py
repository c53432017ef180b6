"""`holdfast worker run APP`: runs the tasks of a program, in this process or in several of their own.

With several, this process only starts them: it passes signals on, and starts another for one that ends by itself.
"""

import importlib
import logging
import os
import sys
import traceback
from typing import Any

import click

from holdfast.cli.context import REFUSED, refuse, words_of
from holdfast.cli.reload import Watch, files_of
from holdfast.errors import HoldfastError
from holdfast.tasks import Tasks
from holdfast.tasks.many import CHANGED, Workers
from holdfast.tasks.worker import TaskWorker

log = logging.getLogger("holdfast.worker")


def find(place: str) -> Tasks:
    """`MODULE:NAME`, imported from the working directory, too. Raises `click.UsageError` if there are no tasks."""
    module, _, name = place.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise click.UsageError(f"there is no module {error.name!r} here") from None
    for part in (name or "tasks").split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Tasks):
        raise click.UsageError(f"{place} names no Tasks(…): write MODULE:NAME, such as app:tasks")
    return found


def worker_of(place: str, given: dict[str, Any]) -> TaskWorker:
    """A worker for the tasks that are there. Raises `click.UsageError`; what the program itself raises comes with its traceback."""
    tasks = find(place)
    try:
        return tasks.worker(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def begin_log(level: str) -> None:
    """Log to standard error, unless the program has its own ways."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")


def run(place: str, level: str, given: dict[str, Any], until_empty: bool) -> None:
    """Run one worker, until it is told to stop."""
    begin_log(level)
    try:
        worker_of(place, given).run(until_empty=until_empty)
    except HoldfastError as error:
        refuse(words_of(error), REFUSED)


def run_reloading(place: str, level: str, given: dict[str, Any], until_empty: bool) -> None:
    """Run one worker, until it is told to stop or a file of its program changes; one that can't be imported, until it is mended."""
    begin_log(level)
    sys.dont_write_bytecode = True  # Python tells files that were changed within a second by their size
    changed: list[str] = []
    watch = Watch()
    try:
        worker = worker_of(place, given)
    except (Exception, SystemExit) as error:  # whatever it is, the next change may mend it  # noqa: BLE001
        report = error.format_message() if isinstance(error, click.UsageError) else "".join(traceback.format_exception(error))
        log.error("%s\nwaiting for a change", report.rstrip())  # noqa: TRY400  (it has the traceback already)
        watch.more = files_of(error)
        changed.append(watch.wait() or "")
    else:

        def restart(path: str) -> None:
            changed.append(path)
            worker.stop()

        watch.start(restart)
        try:
            worker.run(until_empty=until_empty)
        except HoldfastError as error:
            refuse(words_of(error), REFUSED)
        watch.end()
    if changed:
        log.info("%s has changed: starting again", os.path.relpath(changed[0]))
        sys.exit(CHANGED)


def run_many(count: int, reload: bool, *arguments: Any) -> int:
    """Run this many workers; the exit code."""
    begin_log("INFO")
    return Workers(count, run_reloading if reload else run, arguments).run()
