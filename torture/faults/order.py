"""Not a fault but a trace: in which order does the keeper write, sync and answer?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from torture.checkers import order
from torture.client import Client, Json
from torture.faults import tracer
from torture.faults.fault import Anywhere
from torture.history import Call

if TYPE_CHECKING:
    from torture.trial import Trial

SLOW_SYNC_US = 20_000  # makes an answer that does not wait for its sync arrive long before the sync has ended
OPTIONS: dict[str, Json] = {"fail": {"reason": "alone", "retry": False}, "extend": {"lease_ms": 30_000}}
ROUNDS_ALONE = 5  # each takes about a second
WATCHED = "trace=fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg"


class AckOrder(Anywhere):
    """C11: traces the keeper while one client calls alone, and while all of them call."""

    name = "ack-order"
    about = "strace on the keeper: every answer comes after the sync that covers it"

    def unavailable(self) -> str | None:
        """Needs strace."""
        return tracer.unavailable()

    async def torment(self, trial: Trial) -> None:
        """First alone, then together."""
        await self.alone(trial)
        await self.together(trial)

    async def alone(self, trial: Trial) -> None:
        """Every verb that changes something, one after the other, with slow syncs."""
        trace = trial.work / "trace-alone"
        slow = f"inject={tracer.SYNCS}:delay_exit={SLOW_SYNC_US}"
        offset = time.time() - time.monotonic()
        client = Client("alone", trial.history, trial.server.port)
        async with tracer.Attached(trial.server.keeper, trace, "-e", f"trace={tracer.SYNCS}", "-e", slow):
            calls = [call for n in range(min(trial.plan.rounds, ROUNDS_ALONE)) for call in await every_verb(client, n)]
        client.close()
        self.count(trial, "answers checked alone", sum(call.done for call in calls))
        for call in calls:
            if not call.done:
                trial.breach("not checked", f"{call.verb} was answered {call.status} {call.code} to a client that is alone")
        trial.violations += order.a_sync_lies_before_each_answer(calls, tracer.read(trace), offset)

    async def together(self, trial: Trial) -> None:
        """The usual load."""
        trace = trial.work / "trace-together"
        async with trial.load(), tracer.Attached(trial.server.keeper, trace, "-e", WATCHED):
            for _ in range(trial.plan.rounds):
                await trial.progress()
        calls = tracer.read(trace)
        self.count(trial, "sends checked", sum(map(order.is_send, calls)))
        self.count(trial, "log writes seen", sum(map(order.is_log_write, calls)))
        trial.violations += order.nothing_is_sent_over_unsynced_writes(calls)

    def count(self, trial: Trial, what: str, many: int) -> None:
        """Count, so that the report shows it: an empty trace would prove nothing."""
        trial.counts[what] += many
        if not many:
            trial.breach("nothing traced", f"{what}: none")


async def every_verb(client: Client, n: int) -> list[Call]:
    """A round of calls that each change something. A call that was refused is not checked, so each of them must work."""
    jobs = [{"queue": "wide", "payload": {"v": f"alone/{n}-{i}"}} for i in range(6)]
    calls = [await apart(client.submit(jobs[:1])), await apart(client.submit(jobs[1:], key=f"alone/{n}"))]
    calls.append(await apart(client.claim(["wide"], 6, lease_ms=30_000)))
    leased = calls[-1].answer["jobs"]
    for i, verb in enumerate(("extend", "fail", "release", "conclude", "conclude", "conclude")):
        calls.append(await apart(client.use(verb, leased[i], **OPTIONS.get(verb, {}))))
    calls.append(await apart(client.use("conclude", leased[0])))
    for verb, i in (("retry", 1), ("cancel", 2), ("delete", 3)):
        calls.append(await apart(client.manage(verb, leased[i]["id"])))
    return calls


async def apart(call: Awaitable[Call]) -> Call:
    """Make a call, and wait long enough for a late sync, so that it is not counted for the next call."""
    made = await call
    await asyncio.sleep(3 * SLOW_SYNC_US / 1e6)
    return made
