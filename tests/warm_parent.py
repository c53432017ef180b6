"""A process that has imported a program, and forks a child for each start of it: what a fresh interpreter would be by then, without the imports.

    prefork.py ── a start: words, variables, descriptors ──▶ this process ── fork ──▶ child: `python -m holdfast …`
               ◀── the child's pid, then how it ended ──────      │                       └── fork ──▶ its keeper, its other fronts
               ── it may be forgotten (as `wait` does) ──▶    waitpid

It has one thread and no event loop, and imports nothing of the tests. A child sets up what a process gets as it begins: descriptors, folder,
session, variables, arguments, streams. It runs its module as `python -m` does, and ends as an interpreter ends. What differs from a fresh one:
`sys.flags`, the seed of hashes, and that all modules of the image are there, so that one which does not import what it needs works all the
same. Therefore some starts of each kind are fresh ones.

It ends when the process that started it does. Run as: warm_parent.py DESCRIPTOR MODULE,MODULE… ROOM
"""

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

FORKED = ("holdfast.keeper.main", "holdfast.server")  # what a server starts of itself, by `python -P -m …`
PID = struct.Struct("!i")
_PATH = tuple(sys.path[1:])  # without the folder of this file
_ADDED = dict(
    os.environ
)  # what was given to this process every start has, too, and what an interpreter adds (PEP 538) is a child's, too
_LIKE = {name: (getattr(sys, name).encoding, getattr(sys, name).errors) for name in ("stdin", "stdout", "stderr")}


class Child:
    """A process that was forked: its status is told once it has ended, and it stays a zombie until somebody has heard that."""

    def __init__(self, pid: int, report: socket.socket) -> None:
        self.pid, self.report, self.pidfd = pid, report, os.pidfd_open(pid)
        report.send(PID.pack(pid))

    def tell(self) -> None:
        """How it ended, as `Popen.returncode` has it."""
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        with contextlib.suppress(BrokenPipeError):  # nobody will ask: its end is closed, which is heard next
            self.report.send(PID.pack(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status))

    def forget(self) -> None:
        """Collect it; the closed socket says so."""
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.report.close()


def serve(control: socket.socket) -> list[int]:
    """Fork for each start until nobody can ask any more. Returns in the children alone, with the descriptors of the start."""
    children: dict[int, Child] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for number, _ in poll.poll():
            if number != control.fileno():
                child = children.pop(number)
                poll.unregister(number)
                if number == child.pidfd:
                    child.tell()
                    children[child.report.fileno()] = child
                    poll.register(child.report, select.POLLIN)
                else:
                    child.forget()
                continue
            asked, descriptors, _, _ = socket.recv_fds(control, 1, 6)
            if not asked:
                os._exit(0)
            if (pid := os.fork()) == 0:
                return descriptors
            report, *others = descriptors
            child = Child(pid, socket.socket(fileno=report))
            children[child.pidfd] = child
            poll.register(child.pidfd, select.POLLIN)
            for other in others:
                os.close(other)


def begin(descriptors: list[int]) -> list[str]:
    """Be the process that was asked for; its words."""
    _, asked, folder, *streams = descriptors
    os.lseek(asked, 0, os.SEEK_SET)
    with open(asked, closefd=False) as file:
        start = json.load(file)
    os.fchdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    close_others(())
    if start["new_session"]:
        os.setsid()
    given = {**_ADDED, **start["variables"]}
    os.environ.clear()
    os.environ.update(given)
    time.tzset()
    words: list[str] = start["words"]
    folders = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    sys.path[:] = dict.fromkeys([str(Path.cwd()), *folders, *_PATH])
    importlib.invalidate_caches()
    open_streams(words)
    subprocess.Popen = Forking  # type: ignore[misc]
    return words


def open_streams(words: list[str]) -> None:
    """Arguments and streams, as an interpreter sets them up."""
    name_process(words)
    sys.orig_argv[:] = words
    at = words.index("-m")
    sys.argv[:] = ["-m", *words[at + 2 :]]
    for number, (name, (encoding, errors)) in enumerate(_LIKE.items()):
        mode = "r" if name == "stdin" else "w"
        raw: Any = io.FileIO(number, mode, closefd=False)
        raw.name = f"<{name}>"
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(buffer, encoding, errors, newline="\n", line_buffering=name == "stderr" or raw.isatty())
        stream.mode = mode  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    gc.enable()


def name_process(words: list[str]) -> None:
    """Have `/proc/…/cmdline` show these words, in the place of ours. What does not fit is left out."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    first, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    text = b"".join(os.fsencode(word) + b"\0" for word in words)
    ctypes.memmove(first, text[: end - first].ljust(end - first, b"\0"), end - first)


def close_others(kept: tuple[int, ...]) -> None:
    """Close all descriptors but the standard ones and these."""
    for name in list(Path("/proc/self/fd").iterdir()):
        if (number := int(name.name)) > 2 and number not in kept:
            with contextlib.suppress(OSError):  # the one of the listing
                os.close(number)


def run(words: list[str]) -> None:
    """The module after `-m`, as the main one. Whatever it raises ends the process."""
    module = words[words.index("-m") + 1]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Forking(subprocess.Popen):  # type: ignore[type-arg]
    """`Popen` of a server: what it starts of itself is a fork, as long as it has one thread; anything else is as always."""

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: bool, pass_fds: Any, *more: Any) -> None:
        words = list(args) if isinstance(args, (list, tuple)) else []
        if words[:3] != [sys.executable, "-P", "-m"] or words[3] not in FORKED or threading.active_count() > 1:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, *more)  # type: ignore[misc]
            return
        pipes = more[5:11]
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become(words, tuple(pass_fds), pipes[0])
        self.pid = pid
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    @staticmethod
    def _become(words: list[str], pass_fds: tuple[int, ...], stdin: int) -> NoReturn:
        """The started process: what `exec` leaves of this one, and no more. The frames of the server stay where they are, and end with it."""
        code = 1
        try:
            os.dup2(stdin, 0)
            close_others(pass_fds)
            for number in pass_fds:
                os.set_inheritable(number, True)
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_DFL)
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            open_streams(words)
            run(words)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else end.code is not None
        except BaseException:  # noqa: BLE001  (as an interpreter does)
            sys.excepthook(*sys.exc_info())
        ctypes.pythonapi.Py_Exit(code)
        raise AssertionError("it has ended")


def main() -> None:
    """Import, serve; and in a child become what was asked for."""
    control = socket.socket(fileno=int(sys.argv[1]))
    modules = sys.argv[2].split(",")
    sys.argv[:], sys.path[:] = [""], _PATH
    gc.disable()
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1
    control.send(b".")
    descriptors = serve(control)
    control.detach()
    run(begin(descriptors))


main()
