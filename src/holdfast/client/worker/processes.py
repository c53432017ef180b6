"""Processes for handlers that compute: one for each job that runs at once, kept for the next job.

A process can be ended: on a timeout, when the lease is lost, when the job is cancelled. One that dies takes only its own job with it, and
before the handler has begun not even that: the job had no part in it.
The handler is found there by its name, so it has to be a function of a module.
"""

import multiprocessing
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from msgspec import Raw

from holdfast.client.contents import encode
from holdfast.client.raised import raised
from holdfast.client.retry import decode
from holdfast.client.types import Fail, Job, Release
from holdfast.client.worker.connectivity import log
from holdfast.client.worker.held_job import HeldJob, progress_json
from holdfast.client.worker.outcomes import GiveBack, kept, told
from holdfast.client.worker.threads import Threads

_LATER_MS = 5_000  # for a job whose process can't be started
_LOOK_S = 1.0  # how often to check whether a process is alive: its children may hold its pipe open when it is gone
_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang


_FAIL = msgspec.json.Decoder(Fail)
_RELEASE = msgspec.json.Decoder(Release)


class ProcessDied(Exception):
    """The process of a handler ended before the handler did."""


class NotBegun(Exception):
    """The process ended before it had called the handler."""


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
        while True:
            process = self._take()
            fresh = not process.started
            try:
                return await self._run(process, function, held)
            except NotBegun as error:
                if fresh:  # else it was killed while it had nothing to do
                    log.error("the process of a handler can't start, job %d is released: %s", held.id, error)
                    raise GiveBack(_LATER_MS) from error

    async def _run(self, process: "_Process", function: Callable[[HeldJob], Any], held: HeldJob) -> Any:
        process.in_doubt = True
        try:
            return await self._threads.call(partial(process.run, function, held))
        except Said:
            raise
        except BaseException:
            if process.in_doubt:
                process.kill()
            raise
        finally:
            if not process.killed:
                self._idle.append(process)

    def _take(self) -> "_Process":
        """An idle process that is alive: one that was killed while idle is no crash of the next job."""
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            process.kill()
        return _Process()

    def close(self) -> None:
        """End the idle ones."""
        for process in self._idle:
            process.kill()
        self._idle.clear()


class _Process:
    """One process. `in_doubt`: it has been given a job, and has not returned an outcome."""

    def __init__(self) -> None:
        self.killed = False
        self.in_doubt = False
        self._begun = False
        self._ours, self._theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(self._theirs,), name="holdfast-handler", daemon=True)

    @property
    def started(self) -> bool:
        """Whether it had a job before."""
        return self._process.pid is not None

    @property
    def alive(self) -> bool:
        """Whether it can run a job."""
        return self._process.is_alive()

    def run(self, function: Callable[[HeldJob], Any], held: HeldJob) -> Any:
        """Blocks until the handler is done."""
        try:
            if self._process.pid is None and not self.killed:
                self._process.start()
                self._theirs.close()
            if self.killed:  # while it was started
                self._process.kill()
        except OSError as error:  # nothing of the job's doing, so no attempt is spent on it
            log.warning("no process can be started for job %d, it is released: %s", held.id, error)
            raise GiveBack(_LATER_MS) from error
        try:
            self._send(function, held)
            outcome = self._heard(held)
        except (EOFError, OSError) as error:
            self._process.join(1)
            died = f"The process of the handler {_end(self._process.exitcode)}."
            raise (ProcessDied if self._begun else NotBegun)(died) from error
        self.in_doubt = False
        if isinstance(outcome, Fail | Release):
            raise Said(outcome)
        return outcome

    def _send(self, function: Callable[[HeldJob], Any], held: HeldJob) -> None:
        self._begun = False
        try:
            self._ours.send((function, encode(held.job)))
        except OSError:
            raise
        except Exception:  # it can't be pickled: nothing was sent
            self.in_doubt = False
            raise

    def _heard(self, held: HeldJob) -> Any:
        """The handler's outcome, and the progress before it."""
        while True:
            kind, said = self._next()
            self._begun = True
            if kind == "begun":
                continue
            if kind == "note":
                held.note(Raw(said))
            elif kind == "done":
                result, follow_ups = said
                held.follow_ups += follow_ups
                return Raw(result)
            else:
                return _RELEASE.decode(said) if kind == "release" else _FAIL.decode(said)

    def _next(self) -> Any:
        """Its next message; raises `EOFError` if it is gone."""
        while not self._ours.poll(_LOOK_S):
            if not self._process.is_alive() and not self._ours.poll():
                raise EOFError
        return self._ours.recv()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        if self._process.pid is not None:
            self._process.kill()


def _end(code: int | None) -> str:
    """How a process ended, from its exit code."""
    if code is None:
        return "hung up"
    if code >= 0:
        return f"ended before the handler did, with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _serve(pipe: Connection) -> None:
    """A process's main loop: one job after the other, until the worker closes the pipe. The worker handles signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            function, encoded = pipe.recv()
        except EOFError:
            return
        except BaseException as error:  # noqa: BLE001  (the handler can't be found here)
            pipe.send(("fail", encode(Fail(token="", error=raised(error)))))
            continue
        pipe.send(("begun", None))
        held = HeldJob(decode(Job, encoded), lambda _, progress: pipe.send(("note", progress_json(progress))))
        try:
            said = kept(function(held), held.follow_ups)
        except BaseException as error:  # noqa: BLE001  (whatever it raises is its outcome)
            entry = told(error, held.token)
            pipe.send(("release" if isinstance(entry, Release) else "fail", encode(entry)))
        else:
            pipe.send(("done", said))
