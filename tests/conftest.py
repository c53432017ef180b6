"""What holds for every test, wherever it runs.

The tests run in random order (the first lines name its seed: `--randomly-seed=…` repeats it), several at a time (`make test`),
and a file's tests in one worker, since they share what is started for their file. Files that are marked `long` begin first, the longest
before all others, so that none of them is left alone at the end. A test marked `alone` measures something of the whole machine: while it
runs, no other does; so it comes last, when nobody has to stand and wait for it.
"""

import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LOCKS = "TESTS_LOCKS"  # the folder in which the workers of one run agree

# A shell gives a background job SIGINT and SIGQUIT ignored, `nohup` SIGHUP, and every program started from here would inherit that.
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is compiled is kept, also where the environment says otherwise: the tests start hundreds of processes of hundreds of files each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes says how busy the machine is, while others run beside it.
settings.register_profile("beside-others", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside-others")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the locks, before the workers are started."""
    if LOCKS not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="holdfast-locks-")
        os.environ[LOCKS] = folder.name
        config.add_cleanup(lambda: (folder.cleanup(), os.environ.pop(LOCKS)))


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, lone ones last; a worker takes the next file as they stand here (`--no-loadscope-reorder`)."""
    seconds = {item.path: mark.args[0] for item in items if (mark := item.get_closest_marker("long"))}
    alone = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: (item.path in alone, -seconds.get(item.path, 0)))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the clock of pytest-timeout starts
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked `alone` have the machine to itself. Who waits for the room stands in the door, so that nobody waits for ever."""
    folder = Path(os.environ[LOCKS])
    with (folder / "door").open("wb") as door, (folder / "room").open("wb") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a worker tells of a test travels as UTF-8; half of a surrogate pair, which some tests log on purpose, can't."""
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    if report.longrepr is not None and _sendable(told := str(report.longrepr)) != told:
        report.longrepr = _sendable(told)
    return report


def _sendable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
