"""Processes for handlers that compute: one process for each that runs at once, kept for the next job.

A process can be ended: on a timeout, when the lease is lost, when the job is cancelled. One that dies takes only its own job with it.
The handler is found there by its name, so it has to be a function of a module.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from holdfast.client.trying import encode
from holdfast.client.types import Fail, Job, NewJob, Release
from holdfast.client.worker.held import HeldJob
from holdfast.client.worker.outcomes import cut, story, told
from holdfast.client.worker.threads import Threads

_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang


_JOB = msgspec.json.Decoder(Job)
_FAIL = msgspec.json.Decoder(Fail)
_RELEASE = msgspec.json.Decoder(Release)


class ProcessDied(Exception):
    """The process of a handler ended before the handler did."""


class Said(Exception):
    """What a handler in a process raised, already as the verb that ends the lease."""

    def __init__(self, entry: Fail | Release) -> None:
        super().__init__("")
        self.entry = entry


class Processes:
    """The processes; idle ones wait for the next job."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._idle: list[_Process] = []

    async def call(self, function: Callable[[HeldJob], Any], held: HeldJob) -> Any:
        """What the handler returns, as JSON. When this is cancelled, the process is killed."""
        process = self._idle.pop() if self._idle else _Process()
        try:
            return await self._threads.call(lambda: process.run(function, held))
        except (asyncio.CancelledError, ProcessDied):
            process.kill()
            raise
        finally:
            if not process.killed:
                self._idle.append(process)

    def close(self) -> None:
        """End the idle ones."""
        for process in self._idle:
            process.kill()
        self._idle.clear()


class _Process:
    def __init__(self) -> None:
        self.killed = False
        self._ours, self._theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(self._theirs,), name="holdfast-handler", daemon=True)

    def run(self, function: Callable[[HeldJob], Any], held: HeldJob) -> Any:
        """Blocks until the handler is done."""
        if self._process.pid is None and not self.killed:
            self._process.start()
            self._theirs.close()
        try:
            if self.killed:  # while it was started
                self._process.kill()
            self._ours.send((function, encode(held.job)))
            while True:
                kind, said = self._ours.recv()
                if kind == "note":
                    held.note(msgspec.Raw(said))
                elif kind == "done":
                    result, follow_ups = said
                    held.follow_ups += msgspec.json.decode(follow_ups, type=list[NewJob])
                    return msgspec.Raw(result)
                else:
                    raise Said(_RELEASE.decode(said) if kind == "release" else _FAIL.decode(said))
        except (EOFError, OSError) as error:
            self._process.join(1)
            raise ProcessDied(f"the process of the handler ended, exit code {self._process.exitcode}") from error

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        if self._process.pid is not None:
            self._process.kill()


def _serve(pipe: Connection) -> None:
    """The life of a process: one job after the other, until the worker hangs up. Signals are for the worker to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            function, encoded = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001  (the handler can't be found here)
            pipe.send(("fail", encode(Fail(token="", reason=cut(story(error))))))
            continue
        held = HeldJob(_JOB.decode(encoded), lambda _, progress: pipe.send(("note", encode(progress))))
        try:
            said = encode(function(held)), encode(held.follow_ups)
        except BaseException as error:  # noqa: BLE001  (whatever it raises is its outcome)
            entry = told(error, held.token)
            pipe.send(("release" if isinstance(entry, Release) else "fail", encode(entry)))
        else:
            pipe.send(("done", said))
