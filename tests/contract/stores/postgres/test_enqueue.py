"""`holdfast.enqueue_exact`, called by an application in a transaction of its own: it keeps to the engine's bounds, and what it makes is a job like
any other. What `holdfast.enqueue` checks at once, it checks likewise.
"""

import asyncio
import itertools
import json
import threading
from datetime import datetime

import psycopg
import pytest

from holdfast import limits
from holdfast.engine import checks
from holdfast.errors import HoldfastError, UpgradeUnfinished
from holdfast.job.budget import Charge
from holdfast.job.job import Extras, NewJob, State, UniqueWhile
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, EditJob, PurgeQueue, SetQueue
from holdfast.stores import formats
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, postgres_server
from tests.contract.stores.postgres.applications import enqueue, refusal, told_of

LATER = "2999-01-01T00:00:00.000Z"


@pytest.fixture
async def client():
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy(capacity_jobs=50), payload_bytes=1_000))
    await opened.store.tend()  # so the schema is there, and the bounds
    yield opened
    await opened.count_again()
    await opened.close()


def as_new(queue="q", payload='{"n": 1}', **options) -> NewJob:
    """The same job for the engine."""
    extras = {name: options.pop(name) for name in set(Extras.__struct_fields__) & set(options)}
    if "unique_while" in extras:
        extras["unique_while"] = UniqueWhile(extras["unique_while"])
    extras["tags"] = tuple(extras.get("tags", ()))
    if "expires_at" in extras:
        extras["expires_at"] = round(datetime.fromisoformat(extras["expires_at"]).timestamp() * 1_000)
    raw = payload if isinstance(payload, bytes) else payload.encode()
    content = "application/octet-stream" if isinstance(payload, bytes) else None
    return NewJob(queue, raw, extras=Extras(**extras), **{"content_type": content} | options)


async def through_the_engine(client, **options):
    """The number of the job, or code, field and sentence of the refusal."""
    new = as_new(**options)
    try:
        checks.new_job(new, 1_000)
        (receipt,) = await client.put_all([new])
    except HoldfastError as error:
        return error.code, error.fields.get("field", error.fields.get("queue")), error.detail
    return receipt.id


TAKEN = {
    "the least": {},
    "bytes": {"payload": b"\x00\xff"},
    "bytes of a type": {"payload": b"<a/>", "content_type": "text/xml"},
    "no bytes": {"payload": b""},
    "options": {"type": "mail", "priority": 7, "max_attempts": 3, "lease_ms": 5_000, "tags": ["a", "ü"]},
    "the bounds": {
        "queue": "a" * limits.QUEUE_NAME_CHARS,
        "type": "ü" * limits.TYPE_CHARS,
        "priority": limits.PRIORITY_MAX,
        "max_attempts": limits.ATTEMPTS_MAX,
        "lease_ms": limits.LEASE_MS_MAX,
        "delay_ms": limits.DELAY_MS_MAX,
        "unique_key": "k" * limits.KEY_CHARS,
        "tags": ["t" * limits.TAG_CHARS] * limits.TAGS,
    },
    "priority 0": {"priority": 0},
    "no delay": {"delay_ms": 0},
    "a delay": {"delay_ms": 60_000},
    "a unique key": {"unique_key": "k"},
    "a unique key while queued, delayed": {"unique_key": 'k"\\', "unique_while": "queued", "delay_ms": 1},
    "a group": {"group_key": "g", "group_limit": 2},
    "a delayed one of a group": {"group_key": "g", "delay_ms": 5_000},
    "the largest payload": {"payload": '"' + "x" * 998 + '"'},
    "a time to live": {"expires_in_ms": 60_000},
    "the longest time to live, delayed": {"expires_in_ms": limits.EXPIRES_MS_MAX, "delay_ms": 5_000},
    "a deadline": {"expires_at": LATER, "group_key": "g", "tags": ["a"]},
}


@pytest.mark.parametrize("options", TAKEN.values(), ids=TAKEN)
async def test_a_job_that_is_taken_has_the_same_rows_as_one_by_way_of_the_engine(client, shop, options):
    ours = await through_the_engine(client, **options)
    own = {"queue": options.get("queue", "q")}
    found = [await asyncio.to_thread(told_of, ours, own["queue"])]
    await client.do(PurgeQueue(own["queue"], (State.SCHEDULED, State.READY), limits.ID_MAX, 100))
    theirs = enqueue(shop, **options)
    assert theirs > ours
    found.append(await asyncio.to_thread(told_of, theirs, own["queue"]))
    assert found[0] == found[1]


REFUSED = {
    "no queue": {"queue": ""},
    "a name that is none": {"queue": "a b"},
    "a name with a line's end": {"queue": "a\n"},
    "a long name": {"queue": "a" * 201},
    "a large payload": {"payload": '"' + "x" * 999 + '"'},
    "many bytes": {"payload": b"x" * 1_001},
    "a long type": {"type": "x" * 129},
    "a long content type": {"payload": b"x", "content_type": "x" * 257},
    "a priority below 0": {"priority": -1},
    "a priority above all": {"priority": limits.PRIORITY_MAX + 1},
    "no attempt": {"max_attempts": 0},
    "many attempts": {"max_attempts": limits.ATTEMPTS_MAX + 1},
    "a delay below 0": {"delay_ms": -1},
    "a long delay": {"delay_ms": limits.DELAY_MS_MAX + 1},
    "no lease": {"lease_ms": 0},
    "a long lease": {"lease_ms": limits.LEASE_MS_MAX + 1},
    "an empty key": {"unique_key": ""},
    "a long key": {"unique_key": "k" * 257},
    "an empty group": {"group_key": ""},
    "a long group": {"group_key": "k" * 257},
    "a key while queued and no key": {"unique_while": "queued"},
    "a group's limit and no group": {"group_limit": 2},
    "no places and no group": {"group_limit": 0},
    "a step in a path": {"queue": ".."},
    "a group without places": {"group_key": "g", "group_limit": 0},
    "a group with many places": {"group_key": "g", "group_limit": limits.GROUP_LIMIT_MAX + 1},
    "many tags": {"tags": ["t"] * 33},
    "a long tag": {"tags": ["a", "t" * 129]},
    "no time to live": {"expires_in_ms": 0},
    "a long time to live": {"expires_in_ms": limits.EXPIRES_MS_MAX + 1},
    "a deadline that has passed": {"expires_at": "2001-01-01T00:00:00Z"},
    "a deadline in two ways": {"expires_at": LATER, "expires_in_ms": 1},
    "two breaches": {"priority": -1, "tags": ["t"] * 33, "queue": "!"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
async def test_a_breach_is_refused_with_the_field_and_the_sentence_of_the_engine(client, shop, options):
    ours = await through_the_engine(client, **options)
    assert isinstance(ours, tuple)
    assert refusal(shop, **options) == ours
    assert refusal(shop, function="enqueue", **options) == ours
    assert postgres_server().value("SELECT count(*) FROM holdfast.queue", database="holdfast") == 0


@pytest.mark.parametrize(
    ("settings", "before", "options"),
    [
        ({"capacity_jobs": 1}, {}, {}),
        ({"capacity_jobs": 0}, None, {}),
        ({"capacity_bytes": 10}, {"payload": "123456"}, {"payload": "12345"}),
        ({"capacity_bytes": 0}, None, {}),
        ({"capacity_bytes": 5}, None, {"payload": "12345 "}),
        ({"capacity_bytes": 5}, {"payload": "1"}, {"payload": "12345 "}),
        ({"capacity_bytes": 5, "capacity_jobs": 0}, None, {"payload": "12345 "}),
        ({}, {"unique_key": 'a "k"'}, {"unique_key": 'a "k"'}),
        ({}, {"unique_key": "k", "delay_ms": 5}, {"unique_key": "k", "unique_while": "queued"}),
    ],
    ids=[
        "jobs",
        "nothing",
        "bytes",
        "no bytes",
        "never",
        "never, not empty",
        "never, closed",
        "unique key",
        "unique key, scheduled",
    ],
)
async def test_a_full_queue_and_a_key_in_use_are_refused_as_by_the_engine(client, shop, settings, before, options):
    await client.do(SetQueue("q", QueueSettings(**settings), whole=True))
    if before is not None:
        enqueue(shop, **before)
    code, _, sentence = await through_the_engine(client, **options)
    assert refusal(shop, **options)[::2] == (code, sentence)
    assert refusal(shop, function="enqueue", **options)[::2] == (code, sentence)


async def test_a_payload_that_never_fits_is_refused_with_its_bound_as_by_the_engine(client, shop):
    await client.do(SetQueue("q", QueueSettings(capacity_bytes=5), whole=True))
    with pytest.raises(HoldfastError) as ours:
        await client.put_all([as_new(payload="12345 ")])
    with pytest.raises(psycopg.Error) as theirs:
        enqueue(shop, payload="12345 ")
    assert theirs.value.sqlstate == "JQ002"
    assert json.loads(theirs.value.diag.message_detail) == {"code": "payload_too_large"} | ours.value.fields
    assert ours.value.fields == {"field": "payload", "queue": "q", "limit_bytes": 5}


async def test_a_queue_that_sets_no_capacity_has_that_of_the_nodes(client, shop):
    for _ in range(50):
        enqueue(shop)
    assert refusal(shop)[0] == "queue_full"
    assert (await client.tally()).ready == 50


async def test_what_fits_exactly_is_taken_and_an_empty_payload_fits_into_a_queue_without_bytes(client, shop):
    await client.do(SetQueue("q", QueueSettings(capacity_bytes=5), whole=True))
    enqueue(shop, payload="12345")
    enqueue(shop, payload=b"")
    assert refusal(shop, payload="1")[0] == "queue_full"


async def test_the_bound_is_exact_while_many_applications_and_a_node_enqueue_at_once(client, connect):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=37), whole=True))
    connections = [connect() for _ in range(4)]
    taken: list[int] = []

    def push(connection) -> None:
        for _ in range(12):
            try:
                number = enqueue(connection)
            except psycopg.Error as error:
                assert error.sqlstate == "JQ003"  # noqa: PT017
                connection.rollback()
            else:
                connection.commit()
                taken.append(number)

    threads = [threading.Thread(target=push, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    ours = [await through_the_engine(client) for _ in range(12)]
    for thread in threads:
        await asyncio.to_thread(thread.join)
    taken += [one for one in ours if isinstance(one, int)]
    assert len(taken) == len(set(taken)) == 37
    assert (await client.tally()).ready == 37


async def test_of_two_who_want_one_unique_key_at_once_the_second_waits_and_is_refused(client, connect):
    one, other = connect(), connect()
    first = enqueue(one, unique_key="k")
    second = asyncio.create_task(asyncio.to_thread(refusal, other, unique_key="k"))
    await asyncio.sleep(0.1)
    assert not second.done()
    one.commit()
    assert (await second)[2] == f"Job {first} holds the unique key 'k' in queue q."


async def test_a_job_is_gone_with_the_transaction_that_put_it(client, connect):
    application = connect()
    application.execute("INSERT INTO orders VALUES (1)")
    enqueue(application, queue="new", unique_key="k", group_key="g", idempotency_key="i")
    application.rollback()
    with pytest.raises(HoldfastError):
        await client.tally("new")
    enqueue(application, queue="new", unique_key="k", group_key="g", idempotency_key="i")
    application.commit()
    assert (await client.tally("new")).ready == 1


async def test_a_job_is_leased_and_concluded_like_any_other_and_only_after_the_commit(client, connect):
    application = connect()
    await client.do(SetQueue("q", QueueSettings(), whole=True))
    number = enqueue(application, payload='{"order": 7}', type="mail", priority=3)
    leasing = asyncio.create_task(client.lease())
    await asyncio.sleep(0.1)
    assert not leasing.done()  # the queue is the application's until it commits
    application.commit()
    granted = await leasing or await client.lease()
    assert [(one.job.id, one.content.payload, one.content.type) for one in granted] == [(number, b'{"order": 7}', "mail")]
    await client.do(ConcludeLease(granted[0].job.ref()))
    assert await client.state(number) is State.CONCLUDED


async def test_a_node_knows_of_the_very_first_call_at_its_next_look_also_before_the_commit(client, connect):
    postgres_server().sql("ALTER SEQUENCE holdfast.enqueued RESTART", database="holdfast")  # as if nobody ever had
    assert not await client.store.produced_beside()
    with connect() as application:
        enqueue(application)
        assert await client.store.produced_beside()
        application.rollback()


async def test_jobs_of_both_ways_are_leased_by_priority_and_number(client, shop):
    for priority in (5, 1, 9):
        await client.put(priority=priority)
        enqueue(shop, priority=priority)
    await client.lease(limit=1)
    for priority in range(20, 45):  # more than a queue keeps account of
        enqueue(shop, priority=priority)
    granted = await client.lease(limit=100)
    order = [(one.job.priority, one.job.id) for one in granted]
    assert order == sorted(order)
    assert len(order) == 30


async def test_a_priority_is_found_however_many_are_in_use(client, shop):
    """The queue keeps account of where each priority begins; past a number of them it keeps none."""
    numbers = [1, 200, 300, 70_000, limits.PRIORITY_MAX, *range(2, 20)]
    for count, priority in enumerate(numbers, 1):
        enqueue(shop, priority=priority)
        column = postgres_server().value("SELECT ready_floors::text FROM holdfast.queue", database="holdfast")
        floors = None if column is None else formats.ready_floors_of(column)
        assert floors is None if count > limits.READY_FLOORS else floors.keys() == set(numbers[:count])
    assert [one.job.priority for one in await client.lease(limit=100)] == sorted(numbers)
    enqueue(shop, priority=4)
    assert len(await client.lease(limit=5)) == 1


async def test_a_group_of_both_ways_keeps_its_limit_and_its_order(client, shop):
    jobs = [enqueue(shop, group_key="g"), await client.put(group_key="g"), enqueue(shop, group_key="g")]
    numbers = [jobs[0], jobs[1].id, jobs[2]]
    for number in numbers:
        (granted,) = await client.lease(limit=10)
        assert granted.job.id == number
        await client.do(ConcludeLease(granted.job.ref()))


async def test_the_same_idempotency_key_gives_the_same_job_and_with_another_request_it_is_refused(client, shop):
    first = enqueue(shop, idempotency_key="order-7", priority=3)
    assert enqueue(shop, idempotency_key="order-7", priority=3) == first
    assert refusal(shop, idempotency_key="order-7", priority=4)[:2] == ("idempotency_mismatch", "idempotency_key")
    assert enqueue(shop, queue="other", idempotency_key="order-7") != first
    kept = postgres_server().value("SELECT receipts FROM holdfast.kept_answer WHERE scope = 'q'", database="holdfast")
    (receipt,) = formats.receipts_of(kept)
    assert (receipt.id, receipt.queue, receipt.state, receipt.priority, receipt.max_attempts) == (first, "q", "ready", 3, 25)


@pytest.mark.parametrize("bad", ["{", "", "nothing"])
async def test_a_text_that_is_not_json_is_refused(client, shop, bad):
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="json"):
        enqueue(shop, payload=bad)


async def test_json_is_kept_byte_for_byte_as_text_and_nested_no_deeper_than_the_bound(client, shop):
    text = '{ "a" : [1,  2.50] }'
    (granted,) = await client.lease() if enqueue(shop, payload=text) else []
    assert granted.content.payload == text.encode()
    enqueue(shop, payload="[" * 64 + "]" * 64)
    enqueue(shop, payload='["' + "[" * 100 + '\\""]')
    said = refusal(shop, payload='{"a":' * 65 + "1" + "}" * 65)
    assert said == ("invalid_request", "payload", "payload must not be nested deeper than 64 levels.")


async def test_what_only_sql_can_say_is_refused_with_its_field(client, shop):
    assert refusal(shop, unique_key="k", unique_while="always")[1] == "unique_while"
    assert refusal(shop, payload=b"{}", content_type="application/json")[1] == "content_type"
    assert refusal(shop, payload=b"{}", content_type="text/x\ny: z")[1] == "content_type"
    assert refusal(shop, tags=["a", None])[1] == "tags[1]"
    assert refusal(shop, delay_ms=5, run_at="2030-01-01")[:2] == ("invalid_request", "run_at")
    assert refusal(shop, run_at="infinity")[:2] == ("invalid_request", "run_at")
    assert refusal(shop, idempotency_key="ü")[1] == "idempotency_key"
    assert refusal(shop, group_limit=2)[1] == "group_limit"


async def test_tags_that_no_node_could_read_are_refused_and_those_of_any_lower_bound_are_tags(client, shop):
    for nested in ("{{a},{b}}", "{{a,b}}"):
        assert refusal(shop, tags=nested) == ("invalid_request", "tags", "tags must be a list of texts, and not of lists.")
    enqueue(shop, tags="[0:1]={a,b}")
    assert [one.job.extras.tags for one in await client.lease(limit=5)] == [("a", "b")]


async def test_a_moment_in_the_past_is_now_and_one_to_come_is_kept_to_the_millisecond(client, shop):
    assert await client.state(enqueue(shop, run_at="-infinity")) is State.READY
    number = enqueue(shop, run_at="2099-01-01T00:00:00.123Z")
    job = await client.job(number)
    assert (job.state, job.ready_at) == (State.SCHEDULED, 4_070_908_800_123)


async def test_a_deadline_that_the_queue_sets_or_that_comes_before_the_job_is_due(client, shop):
    await client.do(SetQueue("q", QueueSettings(expires_in_ms=60_000), whole=True))
    job = await client.job(enqueue(shop, delay_ms=5_000))
    assert job.extras.expires_at == job.ready_at + 60_000
    own = await client.job(enqueue(shop, expires_in_ms=1_000))
    assert own.extras.expires_at == own.ready_at + 1_000
    assert refusal(shop, expires_at="2990-01-01T00:00:00Z", run_at=LATER)[1:] == (
        "expires_at",
        "expires_at must be later than run_at.",
    )
    assert refusal(shop, delay_ms=limits.DELAY_MS_MAX, expires_at="2030-01-01T00:00:00Z")[1] == "expires_at"
    once = enqueue(shop, expires_in_ms=5_000, idempotency_key="one")
    assert enqueue(shop, expires_in_ms=5_000, idempotency_key="one") == once
    assert refusal(shop, expires_in_ms=6_000, idempotency_key="one")[0] == "idempotency_mismatch"


async def test_a_deadline_is_refused_while_nodes_of_the_release_before_may_serve(client, shop):
    server = postgres_server()
    (before,) = server.sql("SELECT min_compatible FROM holdfast.schema_version", database="holdfast")[0]
    server.sql("UPDATE holdfast.schema_version SET min_compatible = 9", database="holdfast")
    try:
        assert refusal(shop, expires_in_ms=1_000)[:2] == ("upgrade_unfinished", "expires_in_ms")
        for options in ({"expires_in_ms": 1_000}, {"expires_at": 32_472_144_000_000}):
            with pytest.raises(UpgradeUnfinished):
                await client.put(**options)
        with pytest.raises(UpgradeUnfinished):
            await client.do(SetQueue("q", QueueSettings(expires_in_ms=1), whole=True))
        plain = await client.put()
        with pytest.raises(UpgradeUnfinished):
            await client.do(EditJob(plain.id, expires_in_ms=1_000))
        assert await client.state(enqueue(shop)) is State.READY
    finally:
        server.sql(f"UPDATE holdfast.schema_version SET min_compatible = {before}", database="holdfast")


async def test_who_may_enqueue_may_do_nothing_else(client, shop):
    for query in (
        "SELECT * FROM holdfast.job",
        "SELECT holdfast.take('holdfast.job_id', 1)",
        "SELECT holdfast.put_job('q','',NULL,'',1,NULL,NULL,1,1,NULL,NULL,NULL,1,'{}',NULL,NULL,NULL)",
        "SELECT holdfast.let_enqueue('shop')",
        "UPDATE holdfast.queue SET paused = 1",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.execute(query)
    shop.execute("CREATE TEMP TABLE job(id int); CREATE TEMP TABLE queue(name text)")
    shop.execute("SET search_path = pg_temp, public")
    assert await client.state(enqueue(shop)) is State.READY  # tables of the caller's are not looked at


SETTINGS = {
    "TimeZone": "America/St_Johns",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "client_encoding": "LATIN1",
    "xmloption": "document",
    "lc_numeric": "C.utf8",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
    "enable_indexscan": "off",
    "idle_in_transaction_session_timeout": "1h",
    "plpgsql.extra_errors": "all",
    "search_path": "own, pg_temp, pg_catalog",
    "role": "shop",
}
"""What a session may set for itself, each to something else than it is by default."""

CALLS = {
    "text": ('{"a": [1, 1.5e300, "x\\\\\\"[[\\\\ü"]}', {}),
    "jsonb": ('{"b": 1.10, "a\\\\": [1e5]}', {}),
    "bytea": (b"\x00\xff'\\abc", {"content_type": "text/plain"}),
}
OPTIONS = {
    "type": "t\\'",
    "run_at": "2090-01-01T00:00:00.5Z",
    "group_key": "g\\'",
    "group_limit": 3,
    "tags": ["a", "ü\\", "NULL", '"'],
}
ROWS = """
SELECT encode(j.payload, 'hex'), j.extras, j.content_type, j.type, j.priority, j.max_attempts, s.ready_at, k.digest,
  convert_from(k.receipts, 'UTF8')::jsonb #- '{0,id}' #- '{0,created_at}'
FROM holdfast.job j JOIN holdfast.scheduled s ON s.job = j.id JOIN holdfast.kept_answer k ON k.first_job = j.id WHERE j.id = %s
"""


def in_session(connection, key, kind) -> int:
    """The same call, whatever the session has set."""
    payload, more = CALLS[kind]
    options = OPTIONS | more
    names = "".join(f", {name} => %({name})s" for name in options)
    query = f"SELECT holdfast.enqueue_exact('q', %(payload)s::{kind}{names}, idempotency_key => %(key)s)"
    return connection.execute(query, {"payload": payload, "key": f"{key} {kind}"} | options).fetchone()[0]


async def test_the_same_call_is_the_same_job_whatever_the_session_has_set(client, connect):
    server = postgres_server()
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1_000), whole=True))
    usual = connect(autocommit=True)
    first = {kind: in_session(usual, "usual", kind) for kind in CALLS}
    with server.connect(database="holdfast") as looking:
        rows = {kind: looking.execute(ROWS, [first[kind]]).fetchone() for kind in CALLS}
        for name, value in SETTINGS.items():
            other = connect(autocommit=True)
            other.execute("SELECT set_config(%s, %s, false)", [name, value])
            for kind in CALLS:
                assert in_session(other, "usual", kind) == first[kind], name
                own = in_session(other, name, kind)
                assert own not in first.values()
                assert looking.execute(ROWS, [own]).fetchone() == rows[kind], name
                assert in_session(usual, name, kind) == own, name
            said = refusal(other, payload='{"\\\\":' * 65 + "1" + "}" * 65)
            assert said == ("invalid_request", "payload", "payload must not be nested deeper than 64 levels."), name
            assert other.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
            other.close()


async def test_what_an_application_makes_for_itself_is_never_run_as_the_owner(client, shop):
    """Types, functions and operators of its own, with the names of those that `enqueue` uses, and in front of them."""
    server = postgres_server()
    server.sql("CREATE SCHEMA IF NOT EXISTS own AUTHORIZATION shop", database="holdfast")
    shop.execute("CREATE TABLE own.run_as(name text)")
    shop.execute("GRANT ALL ON SCHEMA own TO public; GRANT ALL ON own.run_as TO public")
    body = "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO own.run_as VALUES (current_user); RETURN {}; END $$"
    shop.execute(f"CREATE FUNCTION own.check_value(text) RETURNS boolean {body.format('true')}")
    for name in (
        "oid",
        "regclass",
        "regproc",
        "regprocedure",
        "regrole",
        "text",
        "jsonb",
        "json",
        "bytea",
        "name",
        "int8",
        "interval",
    ):
        shop.execute(f"CREATE DOMAIN pg_temp.{name} AS pg_catalog.{name} CHECK (own.check_value(VALUE::pg_catalog.text))")
    shop.execute(f"CREATE FUNCTION own.format(text, regrole) RETURNS text {body.format(repr('SELECT 1'))}")
    shop.execute(f"CREATE FUNCTION own.convert_to(text, text) RETURNS bytea {body.format('NULL')}")
    shop.execute(f"CREATE FUNCTION own.add(bigint, integer) RETURNS bigint {body.format('1')}")
    shop.execute("CREATE OPERATOR own.+ (leftarg = bigint, rightarg = integer, function = own.add)")
    try:
        shop.execute("SET search_path = own, pg_temp, pg_catalog")
        for kind, function in itertools.product(CALLS, ("enqueue", "enqueue_exact")):
            payload, more = CALLS[kind]
            names = "".join(f", {name} => %({name})s" for name in more)
            shop.execute(f"SELECT holdfast.{function}('q', %(payload)s::pg_catalog.{kind}{names})", {"payload": payload} | more)
        with server.connect("holdfast", "holdfast") as owner:
            owner.execute("SET search_path = own, pg_catalog")
            owner.execute("SELECT holdfast.let_enqueue('shop')")
        assert server.sql("SELECT name FROM own.run_as WHERE name <> 'shop'", database="holdfast") == []
    finally:
        server.sql("DROP SCHEMA own CASCADE", database="holdfast")


async def test_every_function_that_others_may_call_has_a_path_and_settings_of_its_own(client, shop):
    found = dict(
        postgres_server().sql(
            "SELECT oid::regprocedure::text, coalesce(proconfig, '{}') FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace"
            " AND (prosecdef OR proconfig IS NOT NULL OR has_function_privilege('shop', oid, 'EXECUTE'))",
            database="holdfast",
        )
    )
    assert len(found) == 12, sorted(found)
    for name, settings in found.items():
        assert "search_path=holdfast, pg_temp" in settings, name
        if name.startswith(("holdfast.enqueue(", "holdfast.enqueue_exact(")):
            assert {one.partition("=")[0].lower() for one in settings} >= {
                "standard_conforming_strings",
                "bytea_output",
                "timezone",
            }, name


async def test_nobody_may_enqueue_who_was_not_let_in(client):
    server = postgres_server()
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'stranger'"):
        server.sql("CREATE ROLE stranger LOGIN")
    with psycopg.connect(server.url("stranger")) as stranger, pytest.raises(psycopg.errors.InsufficientPrivilege):
        enqueue(stranger)


async def test_an_application_that_falls_asleep_with_a_queue_in_its_hands_is_ended(client, connect):
    postgres_server().sql("UPDATE holdfast.enqueue_bounds SET hold_ms = 300", database="holdfast")
    asleep = connect()
    enqueue(asleep)
    receipt = await client.put()  # it waits until then
    assert receipt.id
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        asleep.execute("SELECT 1")
    assert (await client.tally()).ready == 1


async def test_a_bound_of_the_application_itself_that_is_tighter_stays(client, connect):
    careful = connect(options="-c idle_in_transaction_session_timeout=700")
    enqueue(careful)
    assert careful.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("700ms",)
    careless = connect(options="-c idle_in_transaction_session_timeout=1h")
    enqueue(careless, queue="other")
    assert careless.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("5s",)
    careless.commit()
    assert careless.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1h",)


async def test_with_an_old_snapshot_the_transaction_is_refused_and_not_the_bound_broken(client, connect):
    old = connect(options="-c default_transaction_isolation=repeatable\\ read")
    old.execute("SELECT 1 FROM orders")
    await client.put(unique_key="k")
    try:
        enqueue(old, unique_key="k")
    except psycopg.Error as error:
        assert error.sqlstate in ("40001", "JQ004")  # noqa: PT017
    else:
        old.commit()
    assert (await client.tally()).ready == 1


async def test_a_call_that_is_cancelled_at_any_moment_holds_up_nobody(client, connect):
    """Numbers are given under a lock that belongs to the session: it would stay with a session that goes on, and no job could be put any more."""
    careful = connect(autocommit=True, options="-c statement_timeout=300")
    for sequence in ("job_id", "enqueued"):
        with postgres_server().connect(database="holdfast") as holder, holder.transaction(force_rollback=True):
            holder.execute(f"ALTER SEQUENCE holdfast.{sequence} INCREMENT 1")  # whoever wants a number waits
            with pytest.raises(psycopg.errors.QueryCanceled):
                enqueue(careful)
        async with asyncio.timeout(5):
            assert (await client.put()).id
    assert enqueue(careful)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1215261796 AND database = (SELECT oid FROM pg_database WHERE datname = 'holdfast')"
    assert postgres_server().value(locks) == 0


async def test_a_queue_whose_jobs_all_pay_takes_none_that_could_not_be_counted(client, connect):
    await client.do(SetBudget("calls", 5))
    await client.do(SetQueue("q", QueueSettings(budgets=(Charge("calls"),)), whole=True))
    said = refusal(connect())
    assert said[:2] == ("invalid_request", "queue")
    assert "must have no budgets in its settings: for such a queue, enqueue over HTTP" in said[2]
    await client.do(SetQueue("q", QueueSettings(budgets=()), whole=True))
    assert enqueue(connect()) > 0


async def test_a_fair_queue_takes_none_whose_turn_could_not_be_counted(client, connect):
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=True))
    said = refusal(connect())
    assert said[:2] == ("invalid_request", "queue")
    assert "must not be fair: for such a queue, enqueue over HTTP" in said[2]
    await client.do(SetQueue("q", QueueSettings(fair=False), whole=True))
    assert enqueue(connect()) > 0
