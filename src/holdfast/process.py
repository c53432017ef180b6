"""What a process of the server sets up before it imports anything else, however it was started.

descriptors 0, 1 and 2   are open: else the store or a socket becomes "standard error", and is written into
signals                  wait until somebody knows what to do with them: none is lost, also as process 1 of a container
the environment          has none of the variables by which libraries would be set up behind our back
the working directory    is no place to import from (CWE-427)
garbage                  is not collected while modules are imported, which leaves none: a tenth of a start (`calm_collector` ends that)
"""

import gc
import os
import signal
import sys

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OLD = 100  # middle collections before a full one, which takes 70 ms with 10,000 queues, and delays all answers
_YOUNG = 20_000  # objects allocated before a collection of the young ones: 5 % less CPU per job than with Python's 700
_FOREIGN = (
    "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "NO_COLOR", "FORCE_COLOR", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONINSPECT",
    "PYTHONWARNINGS", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "PYTHONFAULTHANDLER", "PYTHONDUMPREFS", "PYTHONMALLOCSTATS",
    "PYTHONBREAKPOINT", "PYTHONSTARTUP", "prometheus_multiproc_dir", "SQLITE_TMPDIR",
)  # fmt: skip
_FOREIGN_FAMILIES = ("UVICORN_", "LITESTAR_", "PROMETHEUS_", "UVLOOP_", "STRUCTLOG_", "GUNICORN_", "MSGSPEC_", "APSW_")


def begin() -> None:
    """All of it, for a server that is about to start."""
    open_descriptors()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    forget_foreign_variables()
    leave_working_directory()
    gc.disable()


def calm_collector() -> None:
    """Let Python's garbage collector run less often, and never over objects made by imports: those last as long as the process.

    A request's objects are freed by reference counting; they have no cycles.
    """
    gc.set_threshold(_YOUNG, 10, _OLD)
    gc.freeze()
    gc.enable()  # it was off while modules were imported


def open_descriptors() -> None:
    """Have 0, 1 and 2 lead to nowhere where they are closed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115


def forget_foreign_variables() -> None:
    """What is set for another program in the same container is not for this one, nor for the processes that it starts."""
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith(_FOREIGN_FAMILIES):
            del os.environ[name]
    if sys.warnoptions:
        import warnings  # noqa: PLC0415  (only where somebody asked Python to raise them)

        sys.warnoptions.clear()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


def leave_working_directory() -> None:
    """Remove the path that `python -m` put first: a `queue.py` there must not be imported."""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", _here()):
        del sys.path[0]


def _here() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  (pathlib is not imported yet, and must not be from there)
    except OSError:
        return ""


def has_ended(pid: int, within_s: float) -> bool:
    """Whether a process of ours ends within so many seconds; returns as soon as it has."""
    import select  # noqa: PLC0415  (a process that begins imports nothing: it may stand in a folder with a file of that name)

    pidfd = os.pidfd_open(pid)
    try:
        ending = select.poll()
        ending.register(pidfd, select.POLLIN)
        return bool(ending.poll(within_s * 1_000))
    finally:
        os.close(pidfd)
