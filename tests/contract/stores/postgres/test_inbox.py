"""`holdfast.enqueue`, which locks nothing: what it puts into the inbox is taken in after the commit, by the rules of every other way in, exactly once,
and what is refused is a dead job that says why.
"""

import asyncio
import contextlib
import json
import time

import psycopg
import pytest
from click.testing import CliRunner

from holdfast import limits
from holdfast.auth.scope import Scope
from holdfast.cli.entry import main
from holdfast.committer.intake import Intake
from holdfast.doors.rest import bodies, inbox
from holdfast.engine import checks
from holdfast.errors import HoldfastError, JobNotFound, StoreUnavailable
from holdfast.job.budget import Charge
from holdfast.job.job import NewJob, State
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, Enqueue, PurgeQueue, RetryJob, SetQueue
from holdfast.messages.frame import Refused
from holdfast.messages.inbox import REFUSED_QUEUE, InboxState
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.messages.queries import ExplainJob, GetJob
from holdfast.stores.postgres import exporting
from holdfast.stores.postgres import inbox as looking
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, postgres_server
from tests.contract.stores.postgres.applications import enqueue as call
from tests.contract.stores.postgres.applications import refusal as refused
from tests.contract.stores.postgres.applications import told_of

NODES = "application_name = 'holdfast-inbox'"
ROWS = "SELECT count(*) FROM holdfast.inbox"


class Taking:
    """A node that takes in when it is told to."""

    def __init__(self, url: str) -> None:
        self.client = StoreClient(
            PostgresStore(url, QueuePolicy(capacity_jobs=50), payload_bytes=1_000, options=inbox.options())
        )
        backend = self.client.backend
        self.counts = backend.totals.taken_in
        self.intake = Intake(self.client.store.inbox, inbox.reading(1_000), backend.submit, self.counts)

    async def take_in(self, rows: int = 0) -> None:
        """Until so many are left."""
        async with asyncio.timeout(30):
            while True:
                await self.intake.work()
                if await asyncio.to_thread(left) <= rows:
                    return


def left() -> int:
    return postgres_server().value(ROWS, database="holdfast")


def enqueue(connection, **given) -> int:
    options = given.pop("options", None)
    return call(connection, function="enqueue", **given, **({"options": json.dumps(options)} if options else {}))


def refusal(connection, **given):
    options = given.pop("options", None)
    return refused(connection, function="enqueue", **given, **({"options": json.dumps(options)} if options else {}))


@pytest.fixture
async def node():
    opened = Taking(empty_database())
    await opened.client.store.tend()
    yield opened
    await opened.client.count_again()
    await opened.client.close()


@pytest.fixture
def client(node):
    return node.client


async def dead(client, number: int, queue: str = "q") -> str:
    """Why a job was refused."""
    detail = await client.detail(number)
    assert (detail.job.state, detail.job.reason, detail.job.queue) == (State.DEAD, "refused", queue)
    (error,) = detail.errors
    return error.reason


OPTIONS = {
    "the least": {},
    "options": {"type": "mail", "priority": 7, "max_attempts": 3, "lease_ms": 5_000, "tags": ["a", "ü"]},
    "delayed": {"delay_ms": 60_000, "unique_key": 'k"\\', "unique_while": "queued"},
    "a group": {"group_key": "g", "group_limit": 2},
    "a moment": {"run_at": "2999-01-01T00:00:00.123Z"},
    "a deadline": {"expires_in_ms": 60_000},
    "meta": {"meta": {"b": "", "tenant": "ü 7"}},
    "budgets": {"budgets": [{"name": "calls", "key": "k", "cost": 2}]},
    "a fair key": {"fair_key": "tenant-7", "fair_cost": 2},
    "a retry": {"retry": {"base_ms": 5, "factor": 1.5, "jitter": 0}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_a_job_has_the_same_rows_as_one_enqueued_over_http_with_the_same_options(node, client, shop, options):
    await client.do(SetBudget("calls", 5))
    new = bodies.new_job("q", bodies.decode(json.dumps({"payload": 1} | options).encode(), bodies.JobIn))
    checks.new_job(new, 1_000)
    (ours,) = (await client.do(Enqueue([new]))).jobs
    rows = [await asyncio.to_thread(told_of, ours.id, "q")]
    await client.do(PurgeQueue("q", (State.SCHEDULED, State.READY), limits.ID_MAX, 100))
    theirs = enqueue(shop, payload="1", options=options)
    await node.take_in()
    rows.append(await asyncio.to_thread(told_of, theirs, "q"))
    assert rows[0] == rows[1]


async def test_an_argument_and_an_option_of_the_same_name_are_one(node, client, shop):
    first = enqueue(shop, priority=3, tags=["a"], delay_ms=60_000, options={"meta": {"a": "b"}})
    second = enqueue(shop, options={"priority": 3, "tags": ["a"], "delay_ms": 60_000, "meta": {"a": "b"}})
    await node.take_in()
    assert await asyncio.to_thread(told_of, first, "q") == await asyncio.to_thread(told_of, second, "q")
    assert refusal(shop, priority=3, options={"priority": 4})[1:] == (
        "priority",
        "priority is given twice: by an argument and in options.",
    )


async def test_bytes_with_their_type_are_kept_as_they_are(node, client, shop):
    number = enqueue(shop, payload=b"\x00\xff", content_type="image/png", options={"meta": {"a": "b"}})
    await node.take_in()
    (granted,) = await client.lease()
    assert (granted.job.id, granted.content.payload, granted.content.content_type) == (number, b"\x00\xff", "image/png")


AT_ONCE = {
    "an unknown name": ({"colour": "red"}, "colour", "colour is not an option of a job."),
    "another type": ({"priority": "high"}, "priority", "priority must be of the JSON type number, not string."),
    "a part": ({"priority": 1.5}, "priority", "priority must be a whole number."),
    "out of bounds": ({"priority": -1}, "priority", "priority must be from 0 to 4294967295."),
    "far out of bounds": ({"lease_ms": 10**30}, "lease_ms", f"lease_ms must be from 1 to {limits.LEASE_MS_MAX}."),
    "no moment": ({"run_at": "tomorrow"}, "run_at", "run_at must be a moment such as 2026-01-31T12:00:00Z."),
    "no moment that there is": ({"run_at": "2026-02-31T12:00:00Z"}, "run_at", "run_at must be a moment such as 2026-01-31T12:00:00Z."),
    "no zone that there is": ({"run_at": "2026-02-01T12:00:00+99:00"}, "run_at", "run_at must be a moment such as 2026-01-31T12:00:00Z."),
    "no way of a conflict": ({"on_conflict": "merge", "unique_key": "k"}, "on_conflict", "on_conflict must be refuse, existing, replace or debounce."),
    "a conflict about nothing": ({"on_conflict": "existing"}, "on_conflict", "on_conflict needs a unique_key."),
    "a list": ([1], "options", "options must be a JSON object."),
    "too many bytes": ({"meta": {"a": "x" * 70_000}}, "options", "options must have at most 65536 bytes."),
}  # fmt: skip


@pytest.mark.parametrize(("options", "field", "sentence"), AT_ONCE.values(), ids=AT_ONCE)
async def test_what_can_be_seen_without_a_lock_is_refused_in_the_transaction(client, shop, options, field, sentence):
    assert refusal(shop, options=options) == ("invalid_request", field, sentence)
    assert left() == 0


async def test_what_only_a_node_can_decide_is_a_dead_job_with_its_reason(node, client, connect):
    """Each of these transactions saw nothing that spoke against it."""
    open_batch = (await client.do(MakeJobBatch([NewJob("other", b"1")], closed=True))).id
    one, other, shop = connect(), connect(), connect(autocommit=True)
    first = enqueue(one, unique_key="k", idempotency_key="i")
    taken, used = enqueue(other, unique_key="k"), enqueue(other, payload="2", idempotency_key="i")
    one.commit()
    other.commit()
    numbers = {
        "budgets": enqueue(shop, options={"budgets": [{"name": "unknown"}]}),
        "batch": enqueue(shop, options={"batch": open_batch}),
        "meta": enqueue(shop, options={"meta": {"": "b"}}),
        "retry": enqueue(shop, options={"retry": {"factor": 0}}),
        "debounce": enqueue(shop, options={"unique_key": "d", "on_conflict": "debounce"}),
    }
    await node.take_in()
    assert await client.state(first) is State.READY
    assert await dead(client, taken) == f"not_unique: Job {first} holds the unique key 'k' in queue q."
    assert await dead(client, used) == "idempotency_mismatch: The idempotency key 'i' was used with another request."
    said = {name: await dead(client, number) for name, number in numbers.items()}
    assert said == {
        "budgets": "invalid_request: There is no budget unknown.",
        "batch": f"batch_closed: Batch {open_batch} is closed: only its running jobs may still add to it, in their `then` or with their lease.",
        "meta": f"invalid_request: meta must have names of 1 to {limits.META_NAME_CHARS} characters.",
        "retry": f"invalid_request: retry.factor must be from 1 to {limits.RETRY_FACTOR_MAX}.",
        "debounce": "invalid_request: on_conflict debounce needs a delay_ms, from which the job is put off each time.",
    }
    assert node.counts == {"enqueued": 1, "existing": 0, "duplicate": 0, "refused": 7}


async def test_of_more_than_fit_into_a_queue_at_once_the_rest_are_dead_and_can_be_retried(node, client, connect):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=3), whole=True))
    application = connect()
    numbers = [enqueue(application) for _ in range(5)]
    application.commit()
    await node.take_in()
    assert [await client.state(number) for number in numbers[:3]] == [State.READY] * 3
    assert (await dead(client, numbers[3])).startswith("queue_full: The queue q is full: 3 of 3 jobs, ")
    assert (await client.tally()).dead == 2
    assert refusal(application)[0] == "queue_full"


async def test_what_is_asked_for_a_taken_key_is_done_and_counted(node, client, connect, shop):
    holder = enqueue(shop, unique_key="k")
    await node.take_in()
    same = enqueue(shop, payload="2", options={"unique_key": "k", "on_conflict": "existing"})
    enqueue(shop, payload="3", options={"unique_key": "k", "on_conflict": "replace"})
    await node.take_in()
    (granted,) = await client.lease()
    assert (granted.job.id, granted.content.payload) == (holder, b"3")
    with pytest.raises(HoldfastError):
        await client.job(same)
    assert node.counts == {"enqueued": 1, "existing": 2, "duplicate": 0, "refused": 0}


async def test_the_same_idempotency_key_gives_the_same_id_before_and_after_it_is_taken_in(node, client, connect, shop):
    one, other = connect(), connect()
    asked = {"idempotency_key": "order-7", "priority": 3, "options": {"meta": {"a": "b"}}}
    first = enqueue(one, **asked)
    assert enqueue(one, **asked) == first
    unseen = enqueue(other, **asked)  # neither knows of the other
    one.commit()
    other.commit()
    assert enqueue(shop, **asked) == first
    await node.take_in()
    assert enqueue(shop, **asked) == first
    assert left() == 0
    assert refusal(shop, **asked | {"priority": 4})[:2] == ("idempotency_mismatch", "idempotency_key")
    assert refusal(shop, **asked | {"options": {"meta": {"a": "c"}}})[0] == "idempotency_mismatch"
    assert call(shop, idempotency_key="old") == enqueue(shop, idempotency_key="old")  # what 0.1.0 has kept, too
    with pytest.raises(HoldfastError):
        await client.job(unseen)
    assert node.counts["duplicate"] == 1


async def test_idle_transactions_hold_up_neither_each_other_nor_the_queue(node, client, connect):
    """Each has called, and waits for as long as it likes: everybody else goes on with the same queue and the same key."""
    idle = [connect() for _ in range(3)]
    numbers = [enqueue(one, unique_key="k", payload=str(place)) for place, one in enumerate(idle)]
    async with asyncio.timeout(10):
        put = await client.put()
        (granted,) = await client.lease()
        await client.do(ConcludeLease(granted.job.ref()))
        other = connect(autocommit=True)
        late = enqueue(other)
        await node.take_in()
    assert (granted.job.id, await client.state(late)) == (put.id, State.READY)
    idle[2].commit()
    await node.take_in()
    idle[0].commit()
    idle[1].rollback()
    await node.take_in()
    assert await client.state(numbers[2]) is State.READY
    assert "not_unique" in await dead(client, numbers[0])
    with pytest.raises(HoldfastError):
        await client.job(numbers[1])
    assert [one.execute("SHOW idle_in_transaction_session_timeout").fetchone() for one in idle] == [("0",)] * 3


async def test_a_unique_key_that_waits_to_be_taken_in_is_taken(node, client, connect, shop):
    first = enqueue(shop, unique_key="k")
    for connection in (shop, connect()):
        assert refusal(connection, unique_key="k")[2] == f"Job {first} holds the unique key 'k' in queue q."
    enqueue(shop, queue="other", unique_key="k")
    enqueue(shop, options={"unique_key": "k", "on_conflict": "existing"})
    await node.take_in()
    assert node.counts == {"enqueued": 2, "existing": 1, "duplicate": 0, "refused": 0}


async def test_what_a_savepoint_takes_back_never_was(node, client, connect):
    application = connect()
    kept = enqueue(application)
    with contextlib.suppress(ZeroDivisionError), application.transaction():
        gone = enqueue(application)
        raise ZeroDivisionError
    with application.transaction():
        nested = enqueue(application)
    application.commit()
    await node.take_in()
    assert [await client.state(number) for number in (kept, nested)] == [State.READY] * 2
    with pytest.raises(HoldfastError):
        await client.job(gone)


async def test_a_row_that_cannot_be_read_is_a_dead_job_and_stops_no_other(node, client, shop):
    """Only an owner of the database can write such rows."""
    numbers = [enqueue(shop) for _ in range(6)]
    server = postgres_server()
    for number, change in zip(
        numbers,
        (
            "options = '{'",
            "options = '[]', content_type = 'text/plain', payload = '\\xff'",
            "payload = '{'",
            "queue = 'not a name'",
            "job = 1000000000",
        ),
        strict=False,
    ):
        server.sql(f"UPDATE holdfast.inbox SET {change} WHERE job = {number}", database="holdfast")
    await node.take_in()
    assert "malformed_json" in await dead(client, numbers[0])
    assert "invalid_request: Expected `object`, got `array`" in await dead(client, numbers[1])
    assert "malformed_json: The payload is not valid JSON" in await dead(client, numbers[2])
    assert "queue must be 1 to" in await dead(client, numbers[3], REFUSED_QUEUE)
    assert await client.state(numbers[5]) is State.READY


async def test_a_row_with_the_id_of_a_job_gets_an_id_of_its_own(node, client, shop):
    taken = (await client.put()).id
    number = enqueue(shop, payload='"mine"')
    postgres_server().sql(f"UPDATE holdfast.inbox SET job = {taken} WHERE job = {number}", database="holdfast")
    await node.take_in()
    assert {one.content.payload for one in await client.lease(limit=5)} == {b"1", b'"mine"'}


async def test_ten_thousand_rows_of_one_transaction_are_taken_in_whole(node, client, connect):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=20_000), whole=True))
    application = connect()
    application.execute("SELECT holdfast.enqueue('q', n::text) FROM generate_series(1, 10000) n")
    application.commit()
    await node.take_in()
    assert (await client.tally()).ready == 10_000
    granted = await client.lease(limit=1_000)
    assert [one.content.payload for one in granted] == [str(n).encode() for n in range(1, 1_001)]  # in the order of the calls


async def test_two_nodes_take_in_each_job_once_and_the_other_goes_on_where_one_ends(node, client, connect):
    second = Taking(postgres_server().url())
    try:
        await client.do(SetQueue("q", QueueSettings(capacity_jobs=20_000), whole=True))
        application = connect(autocommit=True)
        numbers: list[int] = []
        nodes = [second, node]
        for turn in range(6):
            numbers += [enqueue(application) for _ in range(20)]
            if turn == 3:
                nodes.sort(key=lambda one: one.counts["enqueued"])
                await nodes.pop().client.store.inbox.drop()  # it has gone, and its turn with it
            async with asyncio.timeout(30):
                while await asyncio.to_thread(left):
                    await asyncio.gather(*[one.intake.work() for one in nodes])
        found = (await client.tally()).ready
        assert (found, node.counts["enqueued"] + second.counts["enqueued"]) == (len(numbers), len(numbers))
        assert node.counts["enqueued"]
        assert second.counts["enqueued"]
    finally:
        await second.client.close()


async def test_what_two_nodes_read_at_once_is_put_once(node, client, shop):
    numbers = [enqueue(shop) for _ in range(10)]
    second = Taking(postgres_server().url())
    try:
        rows = await node.client.store.inbox.arrived({})
        for one in (node, second):
            one.intake._inbox = _Once(rows)
        await asyncio.gather(node.intake.work(), second.intake.work())
    finally:
        await second.client.close()
    assert node.counts["enqueued"] + second.counts["enqueued"] == len(numbers)
    assert (await client.tally()).ready == len(numbers)


class _Once:
    def __init__(self, rows) -> None:
        self.rows = rows

    async def arrived(self, passing_over):
        return self.rows

    def look_again(self, after_s) -> None:
        raise AssertionError("nothing is left behind")


async def test_an_inbox_over_its_bound_refuses_until_a_node_has_taken_in(node, client, connect, shop):
    server = postgres_server()
    server.sql("UPDATE holdfast.enqueue_bounds SET inbox_rows = 10", database="holdfast")
    for _ in range(10):
        enqueue(shop)
    for _ in range(3):
        code, _, sentence = refusal(shop)
        assert (code, sentence.split(":")[0]) == ("queue_full", "The inbox of holdfast.enqueue is full")
    await node.take_in()
    server.sql("SELECT holdfast.count_inbox(); SELECT setval('holdfast.inbox_full', 1)", database="holdfast")
    server.sql("UPDATE holdfast.enqueue_bounds SET inbox_rows = 1000, inbox_bytes = 2900", database="holdfast")
    for _ in range(2):
        enqueue(shop, payload=json.dumps("x" * 990))
    assert refusal(shop, payload=json.dumps("x" * 990))[0] == "queue_full"
    await node.take_in()


async def test_calls_that_were_rolled_back_do_not_fill_it(client, connect, shop):
    postgres_server().sql("UPDATE holdfast.enqueue_bounds SET inbox_rows = 10", database="holdfast")
    application = connect()
    for _ in range(30):
        enqueue(application)
        application.rollback()
    enqueue(shop)


async def test_a_transaction_that_sees_the_past_has_nobody_else_believe_it(node, client, connect, shop):
    server = postgres_server()
    server.sql("UPDATE holdfast.enqueue_bounds SET inbox_rows = 10", database="holdfast")
    application = connect()
    application.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    application.execute("SELECT 1")  # from here on it sees an empty inbox
    for _ in range(10):
        enqueue(shop)
    enqueue(application)
    assert refusal(shop)[0] == "queue_full"
    application.rollback()
    await node.take_in()


async def test_who_asks_for_a_job_that_is_not_taken_in_yet_is_told_that(node, client, shop):
    number = enqueue(shop)
    for question in (GetJob(number), ExplainJob(number)):
        with pytest.raises(JobNotFound, match="waits in the inbox") as refused:
            await client.ask(question)
        assert refused.value.fields == {"job_id": number, "in_inbox": True}
    with pytest.raises(JobNotFound) as refused:
        await client.ask(GetJob(number, scope=Scope(("other",))))
    assert refused.value.fields == {"job_id": number}
    await node.take_in()
    assert await client.state(number) is State.READY


async def test_until_the_upgrade_is_finished_it_does_what_it_did(node, client, shop):
    server = postgres_server()
    before = server.value("SELECT min_compatible FROM holdfast.schema_version", database="holdfast")
    server.sql("UPDATE holdfast.schema_version SET min_compatible = 14", database="holdfast")
    try:
        number = enqueue(shop, priority=3)
        assert (left(), await client.state(number)) == (0, State.READY)
        assert refusal(shop, options={"meta": {"a": "b"}})[:2] == ("upgrade_unfinished", "options")
    finally:
        server.sql(f"UPDATE holdfast.schema_version SET min_compatible = {before}", database="holdfast")


async def test_a_queue_whose_jobs_all_pay_takes_them_in_like_any_other(node, client, shop):
    await client.do(SetBudget("calls", 1))
    await client.do(SetQueue("q", QueueSettings(budgets=(Charge("calls"),)), whole=True))
    for _ in range(3):
        enqueue(shop)
    await node.take_in()
    assert len(await client.lease(limit=5)) == 1


async def test_what_was_taken_in_is_not_walked_over_again_though_an_open_transaction_keeps_it(node, client, connect, shop):
    idle = connect()
    open_since = idle.execute("SELECT pg_current_xact_id()::text").fetchone()[0]
    for _ in range(5):
        enqueue(shop)
    await node.take_in()
    first_new, in_progress, *_ = client.store.inbox._window.bounds()
    assert int(first_new) > int(open_since) + 5
    assert open_since in in_progress
    enqueue(idle)
    idle.commit()
    await node.take_in()
    assert (await client.tally()).ready == 6


async def test_a_database_that_is_away_is_asked_again_after_a_while(node, client, shop):
    enqueue(shop)
    postgres_server().sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {NODES}", database="holdfast")
    held = client.store.inbox
    held._db = None
    held._url = held._url.replace("holdfast@", "nobody@")
    with pytest.raises(StoreUnavailable):
        await held.arrived({})
    assert await held.arrived({}) == []  # not tried
    held._url, held._not_before = client.store._url, 0.0
    await node.take_in()


async def test_the_size_is_known_within_a_second(node, client, shop):
    enqueue(shop, payload='"x"')
    held = client.store.inbox
    assert len(await held.arrived({})) == 1
    assert client.store.health().inbox.bytes == len('"x"') + len("{}")
    await node.take_in()
    held._count_at = 0.0
    assert await held.arrived({}) == []
    assert client.store.health().inbox == InboxState()


async def test_what_was_counted_before_its_commit_and_left_behind_is_found_again(node, client, connect):
    application = connect()
    number = enqueue(application)
    await node.intake.work()  # counts what can be seen of it: nothing
    application.commit()
    submit, node.intake._submit = node.intake._submit, _away
    assert await node.intake.work()
    node.intake._submit = submit
    client.store.inbox._all_at = 0.0  # a second later
    async with asyncio.timeout(5):
        await node.take_in()
    assert await client.state(number) is State.READY


async def _away(command):
    return Refused(StoreUnavailable.code, "Not now.")


async def test_what_is_left_behind_again_and_again_does_not_put_off_the_next_look(node):
    held = node.client.store.inbox
    held.look_again(1.0)
    at = held._all_at
    held.look_again(60.0)
    assert held._all_at == at


async def test_a_node_sees_what_was_committed_after_it_counted(node, connect):
    held, application = node.client.store.inbox, connect()
    enqueue(application)
    await held.arrived({})
    assert held.state == InboxState()
    application.commit()
    held._count_at = held._counted_at = 0.0  # some seconds later
    await held.arrived({})
    assert held.state.rows == 1
    await node.take_in()


async def test_an_inbox_that_takes_too_long_to_be_counted_is_taken_in(node, client, shop, monkeypatch):
    monkeypatch.setitem(looking.SQL, "inbox_counted", "SELECT 0::bigint, 0::bigint, 0::bigint FROM pg_sleep(10)")
    monkeypatch.setattr(looking, "_SETTINGS", looking._SETTINGS | {"statement_timeout": "100"})
    number = enqueue(shop)
    await node.take_in()
    assert await client.state(number) is State.READY
    assert client.store.inbox._count_at > client.store.inbox._counted_at + 1


async def test_the_first_look_may_take_long_and_is_not_made_again_soon(node, client, shop, monkeypatch):
    """It walks over all dead rows that a transaction elsewhere keeps from being vacuumed; later ones do not."""
    slow = "FROM (SELECT pg_sleep(CASE WHEN $1::text = '0' THEN 1 ELSE 0 END)) AS one"
    monkeypatch.setitem(looking.SQL, "inbox_new", looking.SQL["inbox_new"].replace("FROM (VALUES (1)) AS one", slow))
    monkeypatch.setattr(looking, "_ASK_S", 0.8)
    number = enqueue(shop)
    await node.take_in()
    assert await client.state(number) is State.READY
    assert client.store.inbox._all_at > time.monotonic() + looking._ALL_S


async def test_a_refused_job_that_is_retried_pays_what_its_queue_costs(node, client, connect):
    await client.do(SetBudget("calls", 5))
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1, budgets=(Charge("calls"),)), whole=True))
    application = connect()
    numbers = [enqueue(application) for _ in range(2)]
    application.commit()
    await node.take_in()
    assert "queue_full" in await dead(client, numbers[1])
    (granted,) = await client.lease()
    await client.do(ConcludeLease(granted.job.ref()))
    await client.do(RetryJob(numbers[1]))
    (granted,) = await client.lease()
    assert (granted.job.id, granted.job.extras.budgets) == (numbers[1], (Charge("calls"),))


async def test_who_may_enqueue_may_not_touch_the_inbox(client, shop):
    for query in (ROWS, "DELETE FROM holdfast.inbox", "SELECT holdfast.count_inbox()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.execute(query)


async def run(*arguments: str):
    return await asyncio.to_thread(CliRunner().invoke, main, arguments)


async def test_check_and_export_say_what_no_node_has_taken_in(node, client, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_LOOKS", 2)
    url = postgres_server().url()
    numbers = [enqueue(shop) for _ in range(3)]
    said = await run("check", "--store", url)
    assert (said.exit_code, "3 jobs in the inbox of holdfast.enqueue are not taken in yet." in said.stderr) == (0, True), (
        said.output
    )
    said = await run("export", "--store", url)
    assert said.exit_code == 1
    assert "3 jobs that applications enqueued by SQL: no node has taken them in" in said.stderr
    exported = asyncio.create_task(run("export", "--store", url))
    await node.take_in()
    assert (await exported).exit_code in (0, 1)
    said = await run("export", "--store", url)
    assert (said.exit_code, said.stdout.count('{"job":')) == (0, 3)
    postgres_server().sql(
        "INSERT INTO holdfast.inbox(job, xact, at, size, queue, options, payload) VALUES (%s, '1', 1, 4, 'q', '{}', '1'), (1000000, '1', 1, 3, 'q', '{}', '1')",
        (numbers[0],), database="holdfast",
    )  # fmt: skip
    said = await run("check", "--store", url)
    assert said.exit_code == 1
    for wrong in (
        f"job {numbers[0]} has the id of another job",
        f"job {numbers[0]} does not have its size",
        "1000000 has an id that was never given",
    ):
        assert f"inbox can be taken in: {wrong}" in said.stdout.replace("job 1000000", "1000000")
    await node.take_in()


async def test_a_database_is_not_moved_before_its_inbox_is_empty(connect, tmp_path):
    opened = Taking(empty_database())
    await opened.client.store.tend()
    enqueue(connect(autocommit=True))
    await opened.client.close()
    await opened.client.store.inbox.drop()
    url, target = postgres_server().url(), f"sqlite:///{tmp_path}/to.db"
    said = await run("move", "--from", url, "--to", target)
    assert (said.exit_code, "enqueued 1 job by SQL that no node has taken in" in said.output) == (1, True), said.output
    opened = Taking(url)
    await opened.take_in()
    await opened.client.close()
    await opened.client.store.inbox.drop()
    said = await run("move", "--from", url, "--to", target)
    assert said.exit_code == 0, said.output
