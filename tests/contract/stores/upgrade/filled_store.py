"""A store in which every table has rows of every kind, and what reading them returns.

`fill` makes it, `contents` reads it through the engine's own queries, and `as_json` writes that by the names of the fields. The fixtures of this folder
were made by `make.py` with the code of an earlier commit; the tests read them with today's.
"""

import base64
import enum
from typing import Any

import msgspec

from holdfast.errors import HoldfastError
from holdfast.job.job import BeanstalkCounters, IdempotencyKey, NewJob, State, UniqueWhile
from holdfast.job.queue import QueueSettings
from holdfast.job.retry import RetryPolicy
from holdfast.job.schedule import Missed, ScheduleSpec
from holdfast.messages.beanstalk_commands import BuryLease, KickJob, PauseFor
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    ExtendLease,
    FailLease,
    PauseQueue,
    PauseSchedule,
    PurgeQueue,
    QuietWorker,
    RegisterWorker,
    ReleaseLease,
    SetInterest,
    SetQueue,
    SetSchedule,
)
from holdfast.messages.queries import GetInterests, ListQueues, ListSchedules, ListWorkers
from holdfast.messages.time_commands import FireSchedules
from tests.contract.stores.conformance.conftest import StoreClient, new

TEXT = 'grün "x" \\ \U0001f600\t\u2028'
KEYS = [
    IdempotencyKey("mail", "one", b"\x00digest\xff"),
    IdempotencyKey("", 'several "q"', b"d" * 32),
    IdempotencyKey("mail", "sql", b"of SQL"),
    IdempotencyKey("mail", "none", b"0"),
]
SQL = "SELECT holdfast.enqueue('mail', '[1 ]', unique_key => 'sql', tags => '{a,\"b c\"}', idempotency_key => 'sql', lease_ms => 5000, priority => 300)"
"""How an application puts a job, where the store is a database."""
HOUR = 3_600_000


async def fill(client: StoreClient) -> None:
    """Fill an empty store. Nothing in it falls due by itself while it is filled."""
    await _queues(client)
    await _states(client)
    await _extras(client)
    await _keys(client)
    await _beanstalk(client)
    await _registry(client)
    await _schedules(client)


async def _queues(client: StoreClient) -> None:
    retry = RetryPolicy(base_ms=7, factor=1.25, max_ms=9_000_000, jitter=0.0)
    settings = QueueSettings(100, 1 << 20, 60_000, 3, 2, None, None, retry)
    await client.do(SetQueue("set", settings, whole=True))
    await client.do(SetQueue("bounded", QueueSettings(max_running=5, retention_ms=HOUR), whole=True))
    await client.do(SetQueue("empty", QueueSettings(), whole=True))
    await client.do(SetQueue("paused", QueueSettings(), whole=True))
    await client.do(PauseQueue("paused", True))
    await client.do(PauseFor("paused.for", 365 * 24 * HOUR))
    await client.do(SetInterest("mail", "*"))
    await client.do(SetInterest("set", {"kind": "^a$", TEXT: "b.*"}))


async def _states(client: StoreClient) -> None:
    """Each state, with results, progress, errors, and jobs that follow."""
    for payload in (b"1", b'{"a": [1, "\xc3\xa9"]}', b"null", b'"' + b"x" * 5_000 + b'"', b"[]", b"6", b"7"):
        await client.put("mail", payload, type="send")
    await client.put_all([NewJob("mail", bytes(range(256)), "bytes", "application/octet-stream", 3)])
    await client.put_all([NewJob("mail", b"", "", "text/plain; charset=utf-8", max_attempts=2)])
    first, second, dead, retried, leased, again = [
        one.job for one in await client.lease("mail", limit=6, worker="worker " + TEXT)
    ]
    follow = [
        new("then", b'"then"', tags=("followed",)),
        new("then", b"2", delay_ms=HOUR),
        new("then", b"3", unique_key="then"),
    ]
    await client.do(ConcludeLease(first.ref(), b'{"ok": [1.50, "\xc3\xa9"]}', follow))
    await client.do(ConcludeLease(second.ref()))
    await client.do(FailLease(dead.ref(), "no: " + TEXT, retry=False))
    await client.do(FailLease(retried.ref(), "later", delay_ms=HOUR))
    await client.do(ExtendLease(leased.ref(), 30 * 24 * HOUR, b'{"half": true}'))
    await client.do(CancelJob(leased.id))
    await client.do(ReleaseLease(again.ref(), priority=9))
    for attempt in range(3):
        job = await client.take("mail", request=f"request {attempt}")
        await client.do(FailLease(job.ref(), f"attempt {attempt}", delay_ms=0, crashed=attempt == 1))
    await client.take("mail", request="kept")
    cancelled = await client.put("mail", b'"cancelled"')
    await client.do(CancelJob(cancelled.id))
    deleted = await client.put("mail", b'"deleted"')
    await client.do(DeleteJob(deleted.id))
    edited = await client.put("mail", b"1", delay_ms=HOUR, tags=("a",))
    await client.do(EditJob(edited.id, type="edited", priority=1, max_attempts=7, tags=("b", "c")))
    await client.put("purged")
    for priority in range(18):
        await client.put("priorities", priority=priority * 1_000)
    await client.do(PurgeQueue("purged", (State.READY,), 0, 10))
    await client.put("mail", b'"far"', run_at=253_402_300_799_999, priority=(1 << 32) - 1)


async def _extras(client: StoreClient) -> None:
    """Each of them alone, and all together; ready, scheduled, held, leased and ended."""
    alone: list[dict[str, Any]] = [
        {"lease_ms": 5_000},
        {"retry": RetryPolicy()},
        {"retry": RetryPolicy(1, 2.5, 3, 0.125)},
        {"unique_key": "k"},
        {"unique_key": "k2 " + TEXT, "unique_while": UniqueWhile.QUEUED},
        {"group_key": "g"},
        {"group_key": "g2 " + TEXT, "group_limit": 12},
        {"tags": ("a", TEXT, "")},
        {"beanstalk": BeanstalkCounters()},
        {"beanstalk": BeanstalkCounters(1, 2, 3, 4, 5), "lease_ms": 1},
    ]
    for options in alone:
        await client.put("extras", **options)
    everything = {name: value for options in alone for name, value in options.items()}
    await client.put("extras", **everything | {"unique_key": "all", "group_key": "all"})
    await client.put("extras", delay_ms=HOUR, **everything | {"unique_key": "later", "group_key": "later"})
    for _ in range(4):
        await client.put("groups", group_key="g", group_limit=2, tags=("t",))
    await client.take("groups")
    ended = await client.put("ended", unique_key="gone", group_key="gone", tags=("was",))
    (job,) = [one.job for one in await client.lease("ended")]
    assert job.id == ended.id
    await client.do(ConcludeLease(job.ref(), b"1"))


async def _keys(client: StoreClient) -> None:
    await client.put_all([new("mail", b"1", delay_ms=HOUR, max_attempts=9)], KEYS[0])
    await client.put_all([new("mail"), new("set", priority=0), new("mail", run_at=4_000_000_000_000)], KEYS[1])


async def _beanstalk(client: StoreClient) -> None:
    for _ in range(4):
        await client.put_all(
            [new("tube", b"\x00\xff", content_type="application/octet-stream", beanstalk=BeanstalkCounters(), lease_ms=60_000)]
        )
    buried, kicked, released, _ = [one.job for one in await client.lease("tube", limit=4)]
    await client.do(BuryLease(buried.ref(), 7))
    await client.do(BuryLease(kicked.ref(), 8))
    await client.do(KickJob(kicked.id))
    await client.do(ReleaseLease(released.ref(), HOUR, 5, counted=True))


async def _registry(client: StoreClient) -> None:
    await client.do(RegisterWorker("w-1", "one " + TEXT, ("mail", "groups")))
    await client.do(RegisterWorker("w-2", "two", ("only",)))
    await client.do(RegisterWorker("w-3", "", ()))
    await client.do(QuietWorker("w-3"))
    for payload in (b"1", b"2"):
        await client.put("only", payload, worker="w-2")
    await client.put("only", b"3", worker="w-1", delay_ms=HOUR)
    granted = await client.lease("only", worker="w-2", registered=True)
    assert len(granted) == 1


async def _schedules(client: StoreClient) -> None:
    everything = new(
        "set", bytes(range(256)), type="t " + TEXT, content_type="application/octet-stream", priority=1, delay_ms=5, max_attempts=4,
        lease_ms=9_000, retry=RetryPolicy(2), unique_key="s", unique_while=UniqueWhile.QUEUED, group_key="sg", group_limit=3, tags=("s",),
    )  # fmt: skip
    await client.do(SetSchedule("plain", ScheduleSpec(new("mail", b'{"n":1}'), interval_ms=HOUR), False))
    await client.do(
        SetSchedule(
            "whole", ScheduleSpec(everything, False, "*/5 8-17 * * mon", "Europe/Vienna", None, Missed.ALL, False), True
        )
    )
    event = ScheduleSpec(new("-", b'{"kind":"a"}'), True, interval_ms=60_000, missed=Missed.SKIP)
    await client.do(SetSchedule("event", event, False))
    await client.do(
        SetSchedule("fired", ScheduleSpec(new("fired", b"0", unique_key="f"), interval_ms=1_000, missed=Missed.ALL), False)
    )
    client.clock.advance(1_500)
    await client.do(FireSchedules(10))
    client.clock.advance(1_000)
    await client.do(FireSchedules(10))  # the key is held by the job of before
    await client.do(PauseSchedule("fired", True))


async def contents(client: StoreClient) -> dict[str, Any]:
    """All of it; nothing that follows from the moment at which it is read."""
    async with client.store.transaction() as tx:
        newest = await tx.newest_job()
        kept = {f"{scope} {key}": answer for (scope, key), answer in (await tx.kept_answers(KEYS)).items()}
    jobs = []
    for job_id in range(1, newest + 1):
        try:
            jobs.append(msgspec.structs.replace(await client.detail(job_id), now=0))
        except HoldfastError:
            continue
    return {
        "newest_job": newest,
        "jobs": jobs,
        "queues": [msgspec.structs.replace(info) for info in (await client.ask(ListQueues(1_000))).queues],
        "interests": await client.ask(GetInterests()),
        "workers": [(info.worker, info.waiting) for info in (await client.ask(ListWorkers())).workers],
        "schedules": (await client.ask(ListSchedules(1_000))).schedules,
        "kept_answers": kept,
    }


NEWER = frozenset(
    (
        "payload_hidden",
        "result_size",
        "history_bytes",
        "retention_jobs",
        "retention_bytes",
        "meta",
        "on_conflict",
        "debounce_max_ms",
    )
)
"""Fields that came after the fixtures named `positional` and before 0.1.0."""
SINCE = {
    "0.1.0": frozenset(
        (
            "batch",
            "budgets",
            "closes",
            "expires_at",
            "expires_in_ms",
            "fair",
            "fair_cost",
            "fair_key",
            "paused_types",
            "process",
            "queue_budgets",
            "raised",
            "types",
            "waits",
        )
    )
}
"""Fields that came after a release, which its fixtures do not have."""


def newer_than(name: str) -> frozenset[str]:
    """The fields that these fixtures do not have."""
    if name in SINCE:
        return frozenset().union(*[SINCE[release] for release in [*SINCE][[*SINCE].index(name) :]])
    return NEWER.union(*SINCE.values())


_OLDER_NAMES = {"beanstalk": "hands"}  # what they called fields that have been renamed since


def as_json(value: Any, without: frozenset[str] = newer_than("positional")) -> Any:
    """By the names of the fields, `without` some; bytes in base64."""
    if isinstance(value, msgspec.Struct):
        fields = [name for name in value.__struct_fields__ if name not in without]
        return {_OLDER_NAMES.get(name, name): as_json(getattr(value, name), without) for name in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, list | tuple):
        return [as_json(one, without) for one in value]
    if isinstance(value, dict):
        return {str(key): as_json(one, without) for key, one in value.items()}
    return "unset" if value is msgspec.UNSET else value
