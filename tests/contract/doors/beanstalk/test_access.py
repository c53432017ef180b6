"""Every command of beanstalkd × every ability, on a tube that the key may see and on another; and how a client logs in."""

import asyncio
import socket

import pytest
from msgspec.structs import replace

from holdfast.auth import keys as rules
from holdfast.auth.keys import Ability, Key
from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.doors.beanstalk.door import Beanstalk
from holdfast.doors.beanstalk.login import Allowed, common_name
from holdfast.doors.beanstalk.numbers import VERBS
from holdfast.engine.engine import Engine
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.audit import ListAudit
from holdfast.messages.commands import Enqueue, FailLease, LeaseJobs
from holdfast.messages.queries import GetQueue
from holdfast.stores.sqlite.store import SqliteStore

PATIENCE_S = 20
REFUSED = (b"FORBIDDEN", b"NOT_FOUND", b"KICKED 0")

# By verb: what it needs (None: nothing), and the line, where JOB is a job and TUBE a tube. `held`: the connection has reserved JOB.
COMMANDS = {
    "put": ("produce", b"put 0 0 60 1\r\nx"),
    "peek": ("read", b"peek JOB"),
    "peek-ready": ("read", b"peek-ready"),
    "peek-delayed": ("read", b"peek-delayed"),
    "peek-buried": ("read", b"peek-buried"),
    "reserve": ("consume", b"reserve"),
    "reserve-with-timeout": ("consume", b"reserve-with-timeout 0"),
    "reserve-job": ("consume", b"reserve-job JOB"),
    "delete": ("manage", b"delete JOB"),
    "release": (None, b"release JOB 0 0"),
    "bury": (None, b"bury JOB 0"),
    "touch": (None, b"touch JOB"),
    "use": (None, b"use TUBE"),
    "watch": (None, b"watch TUBE"),
    "ignore": (None, b"ignore TUBE"),
    "kick": ("manage", b"kick 1"),
    "kick-job": ("manage", b"kick-job JOB"),
    "stats": ("read", b"stats"),
    "stats-job": ("read", b"stats-job JOB"),
    "stats-tube": ("read", b"stats-tube TUBE"),
    "list-tubes": ("read", b"list-tubes"),
    "list-tube-used": (None, b"list-tube-used"),
    "list-tubes-watched": (None, b"list-tubes-watched"),
    "pause-tube": ("manage", b"pause-tube TUBE 0"),
    "quit": (None, b"quit"),
    "auth": (None, b"auth SECRET"),
}
AUDITED = {"delete": "job.delete", "kick": "queue.kick", "kick-job": "job.kick", "pause-tube": "queue.resume"}
STATE = {"peek-delayed": "scheduled", "peek-buried": "dead", "kick": "dead", "kick-job": "dead"}


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, line):
        self.writer.write(line + b"\r\n")
        return await self.hear()

    async def hear(self):
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readline()).rstrip()

    async def rest(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


class House:
    """An engine with one key, which a test changes as it likes."""

    def __init__(self, engine, backend):
        self.engine, self.backend = engine, backend
        self.secret = rules.new_secret()
        self.key = Key("key-1", "k", (Ability.ADMIN,), ("*",), (rules.hash_of(self.secret),), 0)
        self.version = 1

    def become(self, **fields):
        self.key = replace(self.key, **fields)
        self.version += 1
        self.engine.keyring.take(self.version, [self.key])

    async def job(self, queue, state="ready"):
        """A job in a queue, enqueued without the engine."""
        made = await self.backend.submit(Enqueue([NewJob(queue, b"x", delay_ms=90_000 if state == "scheduled" else None)]))
        if state == "dead":
            granted = await self.backend.submit(LeaseJobs((queue,), 1, ""))
            await self.backend.submit(FailLease(granted.jobs[0].job.ref(), "x", False))
        return made.jobs[0].id


@pytest.fixture
async def house():
    backend = LocalBackend(SqliteStore(None, QueuePolicy()), SystemClock())
    backend.start()
    made = House(Engine(backend), backend)
    yield made
    await backend.stop()


@pytest.fixture
async def call(house):
    """Connect; the door treats clients from 127.0.0.7 as the key `k`."""
    door = Beanstalk(house.engine, 0, allowed=Allowed(["127.0.0.7/32=k", "::1/128=k"]))
    listener = socket.create_server(("127.0.0.1", 0))
    await door.open(listener)
    clients = []

    async def connect(source="127.0.0.1", authenticated=False):
        client = Client(*await asyncio.open_connection(*listener.getsockname(), local_addr=(source, 0)))
        clients.append(client)
        if authenticated:
            assert await client.ask(b"auth " + house.secret.encode()) == b"AUTHENTICATED"
        return client

    connect.door = door
    yield connect
    for client in clients:
        client.writer.close()
    door.drain()
    await door.closed(1)


def test_every_command_is_in_the_table():
    assert set(COMMANDS) == set(VERBS)


async def done(house, client, verb, tube):
    job = await house.job(tube, STATE.get(verb, "ready"))
    await client.ask(b"use " + tube.encode())
    await client.ask(b"watch " + tube.encode())
    await client.ask(b"ignore default")
    line = (
        COMMANDS[verb][1].replace(b"JOB", b"%d" % job).replace(b"TUBE", tube.encode()).replace(b"SECRET", house.secret.encode())
    )
    if verb == "quit":
        client.writer.write(line + b"\r\n")
        return await client.rest()
    return await client.ask(line)


@pytest.mark.parametrize("ability", list(Ability))
@pytest.mark.parametrize("verb", sorted(COMMANDS))
async def test_a_command_needs_its_ability(house, call, verb, ability):
    needs = COMMANDS[verb][0]
    house.become(abilities=(ability,), queues=("mine.*",))
    client = await call(authenticated=True)
    answer = await done(house, client, verb, "mine.a")
    if needs is None:
        assert answer != b"FORBIDDEN"
    elif ability in (needs, Ability.ADMIN):
        assert not answer.startswith((b"FORBIDDEN", b"NOT_FOUND", b"INTERNAL")), answer
    else:
        assert answer == b"FORBIDDEN"


@pytest.mark.parametrize("queue", ["mine.a", "theirs.a"])
@pytest.mark.parametrize("verb", sorted(verb for verb, (needs, _) in COMMANDS.items() if needs == "manage"))
async def test_a_refused_managing_verb_is_in_the_audit_log_by_the_time_it_is_refused(house, call, verb, queue):
    """Whether the key lacks the ability or can't see the tube, as over HTTP."""
    lacks = queue == "mine.a"
    house.become(abilities=(Ability.READ if lacks else Ability.MANAGE,), queues=("mine.*",))
    client = await call(authenticated=True)
    assert (await done(house, client, verb, queue)) == (b"FORBIDDEN" if lacks else b"NOT_FOUND")
    (entry,) = (await house.backend.submit(ListAudit(10))).entries
    assert (entry.actor.name, entry.actor.address, entry.actor.door) == ("k", "127.0.0.1", "beanstalk")
    assert (entry.action, entry.done, entry.refused) == (AUDITED[verb], 0, 1)
    assert (entry.outcome == "forbidden") is lacks


@pytest.mark.parametrize("verb", sorted(verb for verb, (needs, _) in COMMANDS.items() if needs))
async def test_a_tube_that_the_key_may_not_see_is_not_found(house, call, verb):
    house.become(abilities=(Ability.ADMIN,), queues=("mine.*",))
    client = await call(authenticated=True)
    answer = await done(house, client, verb, "theirs.a")
    if verb in ("stats", "list-tubes"):
        rest = await client.reader.readexactly(int(answer.split()[1]))
        assert b"theirs" not in rest
    else:
        assert answer in REFUSED, answer


async def test_a_reserved_job_can_be_ended_with_the_ability_consume_alone(house, call):
    house.become(abilities=(Ability.CONSUME,), queues=("mine.*",))
    client = await call(authenticated=True)
    await client.ask(b"watch mine.a")
    for end, word in ((b"touch %d", b"TOUCHED"), (b"delete %d", b"DELETED"), (b"release %d 0 0", b"RELEASED")):
        if end.startswith((b"touch", b"release")):
            job = await house.job("mine.a")
            assert await client.ask(b"reserve-with-timeout 5") == b"RESERVED %d 1" % job
            await client.hear()
        assert await client.ask(end % job) == word


async def test_a_reserve_takes_from_the_watched_tubes_that_the_key_may_see(house, call):
    """Every client watches `default` until it ignores it."""
    house.become(abilities=(Ability.CONSUME,), queues=("mine.*",))
    await house.job("default")
    job = await house.job("mine.a")
    client = await call(authenticated=True)
    assert await client.ask(b"reserve-with-timeout 0") == b"FORBIDDEN"
    await client.ask(b"watch mine.a")
    assert await client.ask(b"reserve-with-timeout 0") == b"RESERVED %d 1" % job


@pytest.mark.parametrize("line", [b"put 0 0 60 1000000", b"stats", b"reserve", b"foo", b"auth", b"auth hf_wrong", b"au"])
async def test_a_client_that_has_not_logged_in_is_disconnected(house, call, line):
    house.become()
    client = await call()
    client.writer.write(line + b"\r\n")
    assert (await client.rest()).rstrip() in (b"UNAUTHENTICATED", b"BAD_FORMAT")


async def test_without_keys_auth_is_an_unknown_command(house, call):
    client = await call()
    assert await client.ask(b"auth hf_whatever") == b"UNKNOWN_COMMAND"
    assert (await client.ask(b"put 0 0 60 1\r\nx")).startswith(b"INSERTED")


async def test_an_address_on_the_list_needs_no_secret(house, call):
    house.become()
    assert (await (await call("127.0.0.7")).ask(b"put 0 0 60 1\r\nx")).startswith(b"INSERTED")
    house.become(name="renamed")
    other = await call("127.0.0.7")
    other.writer.write(b"stats\r\n")
    assert await other.rest() == b"UNAUTHENTICATED\r\n"


async def test_a_connection_past_the_bound_of_a_key_without_a_secret_gets_the_reason(house, call):
    house.become(parked=1)
    first = await call("127.0.0.7")
    assert (await first.ask(b"put 0 0 60 1\r\nx")).startswith(b"INSERTED")
    second = await call("127.0.0.7")
    second.writer.write(b"put 0 0 60 1\r\nx\r\n")
    assert await second.rest() == b"RATE_LIMITED\r\n"


async def test_a_connection_from_before_the_first_key_needs_one_from_then_on(house, call):
    client = await call()
    assert (await client.ask(b"put 0 0 60 1\r\nx")).startswith(b"INSERTED")
    house.become()
    client.writer.write(b"put 0 0 60 1\r\nx\r\n")
    assert await client.rest() == b"UNAUTHENTICATED\r\n"


async def with_a_reserved_job(house, call):
    house.become(abilities=(Ability.CONSUME,))
    job = await house.job("mine.a")
    client = await call(authenticated=True)
    await client.ask(b"watch mine.a")
    assert await client.ask(b"reserve") == b"RESERVED %d 1" % job
    await client.hear()
    return client, job


async def test_a_waiting_reserve_ends_with_its_key_and_reserved_jobs_are_released(house, call):
    client, _job = await with_a_reserved_job(house, call)
    client.writer.write(b"reserve\r\n")
    while not house.engine.arrivals.parked:  # noqa: ASYNC110  (a counter can't be waited for)
        await asyncio.sleep(0.01)
    house.engine.keyring.take(99, [])
    assert await client.rest() == b"UNAUTHENTICATED\r\n"
    while (await house.backend.submit(GetQueue("mine.a"))).tally.ready != 1:  # noqa: ASYNC110  (only the store knows)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("verb", [b"delete %d", b"release %d 0 0", b"bury %d 0"])
async def test_a_job_whose_tube_was_taken_from_the_key_is_ready_again_when_it_can_not_be_ended(house, call, verb):
    client, job = await with_a_reserved_job(house, call)
    house.become(queues=("other",))
    assert await client.ask(verb % job) in (b"NOT_FOUND", b"FORBIDDEN")
    client.writer.close()
    async with asyncio.timeout(PATIENCE_S):
        while (await house.backend.submit(GetQueue("mine.a"))).tally.ready != 1:  # noqa: ASYNC110  (it is the store that is asked)
            await asyncio.sleep(0.01)


async def test_commands_per_second_are_bounded(house, call):
    house.become(requests_per_s=3)
    client = await call(authenticated=True)
    answers = [await client.ask(b"list-tube-used") for _ in range(4)]
    assert answers == [b"USING default"] * 3 + [b"RATE_LIMITED"]


async def test_a_key_that_sees_no_payloads_cannot_peek_at_them(house, call):
    house.become(abilities=(Ability.READ,), sees_payloads=False)
    job = await house.job("mine.a")
    client = await call(authenticated=True)
    assert await client.ask(b"peek %d" % job) == b"FORBIDDEN"
    assert (await client.ask(b"stats-job %d" % job)).startswith(b"OK")


def test_the_name_in_a_certificate_is_its_common_name():
    assert common_name({"subject": ((("organizationName", "x"),), (("commonName", "workers"),))}) == "workers"
    assert common_name(None) is None
    assert common_name({}) is None
    assert common_name({"subject": ((("commonName", "workers"),), (("commonName", "root"),))}) is None
