"""Starts `python -m holdfast …` as a fork of a process that has imported it: `start` is `Popen`, `run` is `subprocess.run`, for a third of the CPU.

For tests that need a server, or want to know what a command does. `fresh=True` is a start as anybody's: for tests of starting and ending, of
signals, streams, variables, memory and speed. It is one by itself where options or variables ask for what a fork can't have: such as a wrapper,
or variables that an interpreter reads before it runs a program. How it works is in warm_parent.py.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from holdfast.cli.entry import SERVER, TALKING

_PROGRAM = Path(__file__).with_name("warm_parent.py")
_ROOM = 16_384  # bytes for the words that a child shows as its command line
_all_fresh = False
_OPTIONS = {"stdin", "stdout", "stderr", "cwd", "env", "text", "start_new_session"}
_IMAGES = {
    "server": (
        "holdfast.cli.serve",
        "holdfast.server",
        "holdfast.keeper.main",
        "holdfast.keeper.file_backend",
        "holdfast.keeper.postgres_backend",
        "holdfast.doors.beanstalk.door",
        "holdfast.doors.beanstalk.login",
        "holdfast.doors.web.compiled",
        "holdfast.doors.websocket.connection",
    ),
    "commands": tuple(sorted({place.module for place in TALKING.values()} - {"holdfast.cli.man"})),  # which imports the entry
}


def start(command: list[Any], *, fresh: bool = False, **options: Any) -> "subprocess.Popen[Any]":
    """A process of this command, to be used as `Popen` is."""
    words = [os.fsdecode(word) for word in command]
    given = options.get("env")
    variables = os.environ if given is None else given
    early = _early(variables)
    foreign = set(filter(None, variables.get("PYTHONPATH", "").split(":"))).difference(
        sys.path
    )  # perhaps with another Holdfast
    if (
        fresh
        or _all_fresh
        or words[:3] != [sys.executable, "-m", "holdfast"]
        or not options.keys() <= _OPTIONS
        or early not in ((), _early(os.environ))
        or foreign
        or sum(len(os.fsencode(word)) + 1 for word in words) > _ROOM
    ):
        return subprocess.Popen(command, **options)
    return _Forked(_warm("server" if words[3:4] and words[3] in SERVER else "commands", early), words, **options)


def fresh_starts(wanted: bool) -> None:
    """From now on, whether every start is a fresh one."""
    global _all_fresh  # noqa: PLW0603  (what a test is about holds for all that it starts)
    _all_fresh = wanted


def run(
    command: list[Any],
    *,
    fresh: bool = False,
    input: Any = None,  # noqa: A002  (as `subprocess.run` has it)
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> "subprocess.CompletedProcess[Any]":
    """A command to its end."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with start(command, fresh=fresh, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _early(variables: Any) -> tuple[tuple[str, str], ...]:
    """The variables that the loader, the C library or the interpreter have read before a program can."""
    families = ("PYTHON", "LC_", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_")
    found = {name: value for name, value in variables.items() if name.startswith(families) or name in ("LANG", "LANGUAGE")}
    found.pop("PYTHONPATH", None)  # a child looks for itself
    return tuple(sorted(found.items()))


class _Warm:
    """A warm parent. It ends with this process, or with `end`."""

    def __init__(self, modules: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lock = threading.Lock()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, _PROGRAM, str(theirs.fileno()), ",".join(modules), " " * _ROOM],
                env=dict(variables),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        assert self.process.stderr is not None
        if not self.control.recv(1):
            raise RuntimeError(f"what tests start can't be imported:\n{self.process.stderr.read().decode(errors='replace')}")

    def fork(self, start: dict[str, Any], descriptors: list[int]) -> tuple[int, socket.socket]:
        """The pid of a new child, and the socket that tells how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked = os.memfd_create("start")
        try:
            os.write(asked, json.dumps(start).encode())
            with self.lock, theirs:
                socket.send_fds(self.control, [b"."], [theirs.fileno(), asked, *descriptors])
        finally:
            os.close(asked)
        return _number(ours), ours

    def end(self) -> None:
        """Have it end; its children continue."""
        self.control.close()
        self.process.wait()


_warm_parents: dict[Any, _Warm] = {}
_lock = threading.Lock()


def _warm(image: str, early: tuple[tuple[str, str], ...]) -> _Warm:
    with _lock:
        if (image, early) not in _warm_parents:
            _warm_parents[image, early] = _Warm(_IMAGES[image], early)
        return _warm_parents[image, early]


def end() -> None:
    """End the warm parents of this process."""
    while _warm_parents:
        _warm_parents.popitem()[1].end()


def _number(report: socket.socket) -> int:
    told = report.recv(4)
    if not told:
        raise RuntimeError("the process that forks for the tests has ended")
    return int.from_bytes(told, signed=True)


class _Forked(subprocess.Popen):  # type: ignore[type-arg]
    """`Popen`, but for how its process is made, and how its end is learnt: it is a child of the warm parent, which is asked."""

    def __init__(self, warm: _Warm, words: list[str], **options: Any) -> None:
        self._warm = warm
        super().__init__(words, **options)

    def _execute_child(self, args: Any, *given: Any) -> None:
        cwd, env, pipes, new_session = given[4], given[5], given[9:15], given[20]
        folder = os.open(cwd or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            streams = [pipe if pipe != -1 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
            start = {"words": args, "variables": dict(os.environ if env is None else env), "new_session": bool(new_session)}
            self.pid, self._report = self._warm.fork(start, [folder, *streams])
            self._child_created = True
        finally:
            os.close(folder)
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._is_told(0):
            self._collect()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not self._is_told(timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._collect()
        return self.returncode

    def _is_told(self, within_s: float | None) -> bool:
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        return bool(poll.poll(None if within_s is None else within_s * 1_000))

    def _collect(self) -> None:
        """Take its status, and return when nothing is left of it, as after `waitpid`."""
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                self.returncode = _number(self._report)
                self._report.shutdown(socket.SHUT_WR)
                self._report.recv(1)
                self._report.close()
