"""A client of the beanstalkd door; the history has its verbs under the names that the checkers use.

    put → submit      reserve-with-timeout → claim      delete → conclude      release      bury → fail      touch → extend      kick-job → retry

A claim needs two more commands for what the reply does not say: `stats-job` returns the attempt, and a `touch` after it proves
that we still have the job reserved, so that the attempt is ours.

When a connection breaks, its reserved jobs are released. So a verb is never repeated on another connection, which does not have
the job reserved.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import msgspec

from torture.client import Answer, Json, asked_job, value_of
from torture.history import FAIL, INFO, OK, Call, History
from torture.wire import Broken, NeverSent, Wire

TTR_S = 1
TTR_MS = TTR_S * 1000
_REFUSALS = {"NOT_FOUND": (409, "lease_lost"), "OUT_OF_MEMORY": (507, "storage_full"), "DRAINING": (503, "draining")}
_DONE = {"INSERTED", "RESERVED", "TIMED_OUT", "DELETED", "RELEASED", "BURIED", "TOUCHED", "KICKED", "OK", "WATCHING", "USING"}
_WITH_BODY = {"RESERVED", "OK"}


@dataclass(frozen=True, slots=True)
class Said:
    """A reply: its words, and its body if it has one."""

    words: tuple[str, ...]
    body: bytes = b""

    @property
    def done(self) -> bool:
        return self.words[0] in _DONE

    def judged(self) -> Answer:
        """Done, certainly not done, or unknown. INTERNAL_ERROR is this protocol's only reply for an unknown outcome."""
        word = self.words[0]
        if self.done:
            return Answer(OK, 200, None, {})
        if word in _REFUSALS:
            return Answer(FAIL, *_REFUSALS[word], {})
        if word == "INTERNAL_ERROR":
            return Answer(INFO, 503, "outcome_unknown", {})
        return Answer(INFO, 500, " ".join(self.words), {})


class TubeClient:
    """A producer and worker with one connection. It does one call at a time, and reserves one job at most."""

    def __init__(self, name: str, history: History, port: int, timeout_s: float, tubes: tuple[str, ...]) -> None:
        self.name = name
        self.history = history
        self.wire = Wire(port, timeout_s)
        self.unreachable = False  # nothing listened at the last try
        self.turned_away = False  # a server was running, but could not do anything
        self._tubes = tubes
        self._answer = Answer(OK, None, None, {})

    async def put(self, tube: str, job: Json, delay_s: int = 0) -> Call:
        """One job, `{queue, payload: {"v": value}}`."""
        asked = {**job, "delay_ms": delay_s * 1000} if delay_s else job
        call = self.history.invoke(self.name, "submit", {"jobs": [asked_job(asked)], "key": None})
        body = msgspec.json.encode(job["payload"])
        used = await self._ask(f"use {tube}")
        said = used and await self._ask(f"put 1024 {delay_s} {TTR_S} {len(body)}", body)
        self._close(call, {"ids": [int(said.words[1])] if said and said.done else [], "duplicate": False})
        return call

    async def reserve(self, wait_s: int) -> Call:
        """Reserve a job; the call's answer has `jobs`, as a claim over HTTP does."""
        asked = {"queues": list(self._tubes), "max": 1, "lease_ms": TTR_MS, "request_id": None}
        call = self.history.invoke(self.name, "claim", asked)
        said = await self._ask(f"reserve-with-timeout {wait_s}")
        job = await self._known(said) if said and said.words[0] == "RESERVED" else None
        self._close(call, {"jobs": [job] if job else []})
        if self._answer.outcome != OK:
            self.close()  # it may have reserved a job that we do not know of
        return call

    async def _known(self, reserved: Said) -> Json | None:
        job = int(reserved.words[1])
        stats = await self._ask(f"stats-job {job}")
        touched = stats and stats.done and await self._ask(f"touch {job}")
        if not stats or not touched or not touched.done:
            return None
        told = dict(line.split(": ", 1) for line in stats.body.decode().splitlines()[1:])
        try:
            payload = msgspec.json.decode(reserved.body)
        except msgspec.DecodeError:
            payload = reserved.body
        attempt = int(told["reserves"])
        named = {"id": job, "queue": told["tube"].strip('"'), "value": value_of(payload), "attempt": attempt}
        return {**named, "token": f"tube.{job}.{attempt}", "ms_left": int(told["ttr"]) * 1000}

    async def delete(self, held: Json, until: float) -> Call:
        """Conclude it. If its lease may have expired at `until`, it is unknown whether it was concluded or removed."""
        call = self._invoke("conclude", held)
        said = await self._ask(f"delete {held['id']}")
        if said is None or (said.done and time.monotonic() >= until):
            self._answer = Answer(INFO, None, "broken", {})
            removal = self.history.invoke(self.name, "delete", {"job": held["id"]})
            self._close(removal, {})
        self._close(call, {"state": "concluded"})
        return call

    async def touch(self, held: Json) -> Call:
        """Extend the lease to its full time."""
        call = self._invoke("extend", held)
        await self._ask(f"touch {held['id']}")
        self._close(call, {"ms_left": held["ms_left"]})
        return call

    async def release(self, held: Json) -> Call:
        """Release it."""
        call = self._invoke("release", held)
        await self._ask(f"release {held['id']} 1024 0")
        self._close(call, {"state": "ready"})
        return call

    async def bury(self, held: Json) -> Call:
        """Bury it."""
        call = self._invoke("fail", held)
        await self._ask(f"bury {held['id']} 1024")
        self._close(call, {"state": "dead"})
        return call

    async def kick(self, job: int) -> Call:
        """Kick a buried one."""
        call = self.history.invoke(self.name, "retry", {"job": job})
        await self._ask(f"kick-job {job}")
        self._close(call, {"state": "ready"})
        return call

    def hang_up(self, held: Json) -> None:
        """Close the connection while a job is reserved: it is released at an unknown time."""
        self._invoke("release", held)  # never closed in the history: its outcome is unknown
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()

    async def _ask(self, line: str, body: bytes | None = None) -> Said | None:
        """One exchange; `_answer` is what to record of it. None if no reply came."""
        self.unreachable = self.turned_away = False
        try:
            if not self.wire.open:
                for tube in self._tubes:
                    await self.wire.exchange(f"watch {tube}\r\n".encode(), _said)
                await self.wire.exchange(b"ignore default\r\n", _said)
            sent = line.encode() + b"\r\n" + (b"" if body is None else body + b"\r\n")
            said = await self.wire.exchange(sent, _said)
        except NeverSent:
            self.unreachable = True
            self._answer = Answer(FAIL, None, "never_sent", {})
            return None
        except Broken:
            self._answer = Answer(INFO, None, "broken", {})
            return None
        self._answer = said.judged()
        self.turned_away = self._answer.status in (503, 507)
        if self._answer.status == 500:
            self.close()  # replies on this connection can't be assigned to commands any more
        return said

    def _invoke(self, verb: str, held: Json) -> Call:
        return self.history.invoke(
            self.name, verb, {"job": held["id"], "token": held["token"], "attempt": held["attempt"], "via": "tube"}
        )

    def _close(self, call: Call, told: Json) -> None:
        answer = self._answer
        code = answer.code if answer.outcome != OK else None
        self.history.close(call, answer.outcome, answer.status, code, told if answer.outcome == OK else {})


async def _said(reader: asyncio.StreamReader) -> Said:
    words = tuple((await reader.readuntil(b"\r\n")).decode("latin-1").split())
    if not words:
        raise ValueError("an empty line is no reply")
    body = (await reader.readexactly(int(words[-1]) + 2))[:-2] if words[0] in _WITH_BODY else b""
    return Said(words, body)
