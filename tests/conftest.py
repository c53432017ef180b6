"""What holds for every test, wherever it runs.

The tests run in random order (the first lines name its seed: `--randomly-seed=…` repeats it), several at a time (`make test`),
and a file's tests in one worker, since they share what is started for their file. Files that are marked `long` begin first, the longest
before all others, so that none of them is left alone at the end.
"""

import gc
import os
import shutil
import signal
import ssl
import sys
import tempfile
from collections.abc import Generator, Iterator
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx._transports.default
import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import prefork
from tests.once import FOLDER

# A shell gives a background job SIGINT and SIGQUIT ignored, `nohup` SIGHUP, and every program started from here would inherit that.
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is compiled is kept, also where the environment says otherwise: the tests start hundreds of processes of hundreds of files each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# Each client of httpx reads all certificate authorities that the machine trusts, which takes 20 ms, and most of them speak no TLS. Those that
# name no authorities of their own share what was read once.
@cache
def _context(trust_env: bool, *authorities: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=trust_env)


def _shared_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is not True or cert is not None:
        return httpx.create_ssl_context(verify, cert, trust_env)
    return _context(trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


httpx._transports.default.create_ssl_context = _shared_context

# How long an example takes says how busy the machine is, while others run beside it.
settings.register_profile("beside-others", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside-others")


def pytest_configure(config: pytest.Config) -> None:
    """The process that starts the workers makes the folder of what they share, and removes it with the last of them."""
    config.add_cleanup(prefork.end)
    if FOLDER in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-run-"))
    (folder / "postgres").mkdir()
    os.environ |= {FOLDER: str(folder), "POSTGRES_TEMPLATES": str(folder / "postgres")}
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: to look for garbage in it again and again, in each worker, would take a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; a worker takes the next file as they stand here (`--no-loadscope-reorder`)."""
    seconds = {item.path: mark.args[0] for item in items if (mark := item.get_closest_marker("long"))}
    items.sort(key=lambda item: -seconds.get(item.path, 0))
    gc.collect()
    gc.freeze()  # what was collected lasts as long as the run: no collection of garbage looks at it again


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which start servers
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Of a file that is about starts, each is one as anybody's."""
    prefork.fresh_starts(item.get_closest_marker("fresh") is not None)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """What a test sets of the log, such as its level, holds for that test alone."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a worker tells of a test travels as UTF-8; half of a surrogate pair, which some tests log on purpose, can't."""
    if call.excinfo is not None:
        with_lines(call.excinfo)
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    if report.longrepr is not None and _sendable(told := str(report.longrepr)) != told:
        report.longrepr = _sendable(told)
    return report


def with_lines(failure: pytest.ExceptionInfo[BaseException]) -> None:
    """Leave out frames that stand at an instruction of no line, as a test that hangs may: pytest fails to print them, and the whole run ends."""
    traced: TracebackType | None = None
    for raw in reversed([entry._rawentry for entry in failure.traceback]):
        if raw.tb_lineno is not None:
            traced = TracebackType(traced, raw.tb_frame, raw.tb_lasti, raw.tb_lineno)
    if traced is not None:
        failure.traceback = type(failure.traceback)(traced)


def _sendable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
