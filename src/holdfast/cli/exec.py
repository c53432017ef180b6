"""Runs a program for a job: the handler of `holdfast worker exec`.

    payload ─▶ standard input          0 concludes; standard output is the result
    fields  ─▶ HOLDFAST_JOB_…          75 (EX_TEMPFAIL): not now, back to the queue, no attempt is spent
                                       65 (EX_DATAERR): never, dead at once
    standard error ─▶ the reason       anything else, a signal and running out of time: failed

A program has a process group of its own, and ends with it: its children are killed with it. Its output is read while it runs,
within bounds: the beginning of standard output, the end of standard error.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from holdfast.cli import orphan_reaper
from holdfast.cli.output import json_text, moment
from holdfast.client.worker import DoNotRetry, Failed, GiveBack, HeldJob
from holdfast.limits import PAYLOAD_BYTES, REASON_CHARS

log = logging.getLogger("holdfast.worker")
_TAIL_BYTES = 4 * REASON_CHARS  # a character has at most four bytes
_WORDS_BYTES = 200  # of the reason, for the exit code
_SILENCE_S = 1.0  # for the last output of a program that has ended, if another process still holds its pipes
_LAST_PATIENCE_S = 1.5  # when the worker ends: it gives cancelled handlers two seconds
_OUT, _ERR = 1, 2


@dataclass(frozen=True, slots=True)
class How:
    """How programs are run. `result`: whether standard output is the result: True, False, or None if it is JSON."""

    command: Sequence[str]
    environment: dict[str, str]
    timeout_s: float | None
    patience_s: float
    later_ms: int
    later_codes: frozenset[int]
    dead_codes: frozenset[int]
    result: bool | None
    echo: bool


class Executor:
    """Runs a program for each job. `told` is called with each job, the outcome, its exit code, and how long it took."""

    def __init__(self, how: How, told: Callable[[HeldJob, str, int | None, float], None]) -> None:
        self._how = how
        self._told = told
        # In a session of its own, so that Ctrl-C on a terminal does not reach it.
        self._warden = subprocess.Popen(  # noqa: S603  (our own file)
            [sys.executable, "-I", "-S", str(Path(orphan_reaper.__file__)), str(how.patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the orphan reaper; no program is left by now."""
        assert self._warden.stdin is not None
        self._warden.stdin.close()
        self._warden.wait()

    async def run(self, held: HeldJob) -> Any:
        """The result; raises how else it ended."""
        began = time.monotonic()
        program = await self._start(held)
        try:
            outcome = await self._finish(program, held)
        except BaseException as error:
            words = "dead" if isinstance(error, DoNotRetry) else "failed" if isinstance(error, Failed) else "released"
            self._told(held, words, program.code, time.monotonic() - began)
            raise
        finally:
            program.close()
            self._note(f"-{program.pid}")
        self._told(held, "concluded", program.code, time.monotonic() - began)
        return outcome

    async def _start(self, held: HeldJob) -> "Program":
        loop = asyncio.get_running_loop()
        try:
            _, program = await loop.subprocess_exec(
                lambda: Program(self._how.echo, lambda pid: self._note(f"+{pid}")),
                *self._how.command,
                env=self._how.environment | _fields(held),
                stdout=None if self._how.result is False else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:  # nothing of the job's doing, so no attempt is spent on it
            log.warning("%s can't be started, job %d is released: %s", self._how.command[0], held.id, error)
            raise GiveBack(self._how.later_ms) from error
        program.feed(held.body if held.body is not None else bytes(held.job.payload_json))
        return program

    async def _finish(self, program: "Program", held: HeldJob) -> Any:
        how = self._how
        try:
            await asyncio.wait_for(asyncio.shield(program.exited), how.timeout_s)
        except TimeoutError:
            await program.end(how.patience_s)
            raise Failed(program.reason(f"timed out after {how.timeout_s:g} s")) from None
        except asyncio.CancelledError:
            await program.end(min(how.patience_s, _LAST_PATIENCE_S) if held.stopping else how.patience_s)
            raise
        program.signal(signal.SIGKILL)  # its remaining children
        await program.last_words(_SILENCE_S)
        return self._outcome(program)

    def _outcome(self, program: "Program") -> Any:
        code = program.code
        if code == 0:
            return None if self._how.result is False else program.result(self._how.result is True)
        if code in self._how.later_codes:
            raise GiveBack(self._how.later_ms)
        if code is not None and code < 0:
            raise Failed(program.reason(f"killed by {_name(-code)}"))
        raise (DoNotRetry if code in self._how.dead_codes else Failed)(program.reason(f"exit code {code}"))

    def _note(self, line: str) -> None:
        assert self._warden.stdin is not None
        pipe: IO[bytes] = self._warden.stdin
        try:
            pipe.write(f"{line}\n".encode())
            pipe.flush()
        except OSError:
            log.warning("the process that stops programs after a crash of this worker died")


class Program(asyncio.SubprocessProtocol):
    """One run of a program: its output, and its end."""

    def __init__(self, echo: bool, started: Callable[[int], None]) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.pid = 0
        self._silent: asyncio.Future[None] = loop.create_future()
        self._started = started
        self._echo = echo
        self._out = bytearray()
        self._out_bytes = 0
        self._err = bytearray()
        self._transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It runs."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid()
        self._started(self.pid)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It has written something."""
        if fd == _OUT:
            self._out_bytes += len(data)
            self._out += data[: max(0, PAYLOAD_BYTES - len(self._out))]
            return
        self._err += data
        if len(self._err) > 2 * _TAIL_BYTES:
            del self._err[:-_TAIL_BYTES]
        if self._echo:
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()

    def process_exited(self) -> None:
        """It has ended; its children may still run."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's own signature)
        """It has ended, and no process holds its pipes any more."""
        if not self._silent.done():
            self._silent.set_result(None)

    @property
    def code(self) -> int | None:
        """Its exit code; a signal is negative, None while it runs."""
        return self._transport.get_returncode()

    def feed(self, payload: bytes) -> None:
        """Write its standard input to the end; it need not read that."""
        pipe = self._transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)
        pipe.write(payload)
        pipe.write_eof()

    def signal(self, number: int) -> None:
        """Send a signal to its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self, patience_s: float) -> None:
        """SIGTERM; SIGKILL once no process holds its pipes, or after this time, or when this is cancelled."""
        self.signal(signal.SIGTERM)
        try:
            await self.last_words(patience_s)
        finally:
            self.signal(signal.SIGKILL)
        await asyncio.wait([self.exited], timeout=_SILENCE_S)
        await self.last_words(_SILENCE_S)

    async def last_words(self, within_s: float) -> None:
        """Wait until no process can write any more."""
        await asyncio.wait([self._silent], timeout=within_s)

    def close(self) -> None:
        """Let go of it."""
        self.signal(signal.SIGKILL)
        self._transport.close()

    def reason(self, how: str) -> str:
        """The end of its standard error, and how it ended."""
        tail = self._err[-_TAIL_BYTES:].decode(errors="replace").replace("\0", "�").strip()
        return f"{tail[-(REASON_CHARS - _WORDS_BYTES) :]}\n({how})" if tail else how

    def result(self, text_too: bool) -> Any:
        """Its standard output: as JSON; else as a text, if that is wanted."""
        if self._out_bytes > PAYLOAD_BYTES:
            said = f"{self._out_bytes:,} bytes on standard output; a result has at most {PAYLOAD_BYTES:,}"
            if text_too:
                raise Failed(self.reason(said))
            log.info("the result is not stored: %s", said)
            return None
        try:
            self._out.decode()
            msgspec.json.decode(self._out, type=msgspec.Raw)  # a number that Python can't represent is valid JSON
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._out.decode(errors="replace") if text_too else None
        return msgspec.Raw(bytes(self._out).strip())


def _fields(held: HeldJob) -> dict[str, str]:
    job = held.job
    said: dict[str, Any] = {
        "ID": job.id,
        "QUEUE": job.queue,
        "TYPE": job.type,
        "ATTEMPT": job.attempt,
        "MAX_ATTEMPTS": job.max_attempts,
        "FAILURES": job.failures,
        "CRASHES": job.crashes,
        "PRIORITY": job.priority,
        "TAGS": ",".join(job.tags),
        "META": json_text(job.meta),
        "CREATED_AT": moment(job.created_at),
        "CONTENT_TYPE": job.content_type or "application/json",
        "UNIQUE_KEY": job.unique_key or "",
        "GROUP_KEY": job.group_key or "",
    }
    return {f"HOLDFAST_JOB_{name}": str(value).replace("\0", "") for name, value in said.items()}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
