"""The bytes of every format on disk. A change of one fails here, and must be a step of both schemas: then this table is that of the new step, and a fixture
of a store that the version before wrote goes to tests/contract/stores/upgrade.
"""

import base64
import json
import tracemalloc

import msgspec
import pytest
from msgspec.structs import astuple

from holdfast.auth.actor import Actor
from holdfast.auth.scope import Scope
from holdfast.job.budget import Charge
from holdfast.job.closing import Closes, Closing
from holdfast.job.job import NO_EXTRAS, BeanstalkCounters, Extras, NewJob, Receipt, State, UniqueWhile
from holdfast.job.operation import Do, Doing, JobFilter, Operation, Skipped
from holdfast.job.queue import QueueSettings
from holdfast.job.retry import RetryPolicy
from holdfast.job.schedule import Missed, Schedule, ScheduleSpec
from holdfast.limits import ID_MAX
from holdfast.stores import formats, operation_formats, positional
from holdfast.stores.postgres.migrate import steps
from holdfast.stores.sqlite.connect import migrations

SCHEMAS = (16, 14)
"""The steps of SQLite's and PostgreSQL's schema that last changed a format."""

NOW = 1_800_000_000_000
EXTRAS: dict[str | None, Extras] = {
    None: NO_EXTRAS,
    '{"lease_ms":5000}': Extras(lease_ms=5_000),
    '{"lease_ms":4294967295000}': Extras(lease_ms=4_294_967_295_000),
    '{"retry":{"base_ms":5000,"factor":2.0,"max_ms":3600000,"jitter":0.1}}': Extras(retry=RetryPolicy()),
    '{"unique_key":"k"}': Extras(unique_key="k"),
    '{"unique_key":"k","unique_while":"queued"}': Extras(unique_key="k", unique_while=UniqueWhile.QUEUED),
    '{"group_key":"g"}': Extras(group_key="g"),
    '{"group_key":"g","group_limit":2}': Extras(group_key="g", group_limit=2),
    '{"tags":["a","grün \\"x\\" \\\\ \\t"]}': Extras(tags=("a", 'grün "x" \\ \t')),
    '{"worker":"w-1"}': Extras(worker="w-1"),
    '{"beanstalk":{}}': Extras(beanstalk=BeanstalkCounters()),
    '{"beanstalk":{"delay_s":1,"timeouts":2,"releases":3,"buries":4,"kicks":5}}': Extras(beanstalk=BeanstalkCounters(1, 2, 3, 4, 5)),
    '{"follows":7}': Extras(follows=7),
    '{"batch":9}': Extras(batch=9),
    '{"closes":{"batch":8,"on":"on_finish"}}': Extras(closes=Closes(8, Closing.FINISH)),
    (
        '{"batch":9007199254740991,"closes":{"batch":8,"on":"on_success","name":"n","pending":1,"concluded":2,"dead":3,"cancelled":4}}'
    ): Extras(batch=ID_MAX, closes=Closes(8, Closing.SUCCESS, "n", 1, 2, 3, 4)),
    '{"fair_key":"tenant-7","fair_cost":3}': Extras(fair_key="tenant-7", fair_cost=3),
    '{"budgets":[{"name":"openai"},{"name":"x","key":"t-7","cost":3}]}': Extras(budgets=(Charge("openai"), Charge("x", "t-7", 3))),
    '{"budgets":[{"name":"x","cost":2000000}],"queue_budgets":[{"name":"x","cost":1000000},{"name":"y","key":"k"}]}': Extras(
        budgets=(Charge("x", "", 2_000_000),), queue_budgets=(Charge("x", "", 1_000_000), Charge("y", "k"))
    ),
    '{"meta":{"tenant":"7","b":"grün \\"x\\""}}': Extras(meta=(("tenant", "7"), ("b", 'grün "x"'))),
    '{"expires_at":1800000000000}': Extras(expires_at=NOW),
    (
        '{"lease_ms":1,"retry":{"base_ms":1,"factor":1.5,"max_ms":2,"jitter":0.0},"unique_key":"u","unique_while":"queued","group_key":"g",'
        '"group_limit":3,"tags":["t"],"worker":"w","beanstalk":{"kicks":1},"follows":9007199254740991,'
        '"meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}'
    ): Extras(
        1, RetryPolicy(1, 1.5, 2, 0.0), "u", UniqueWhile.QUEUED, "g", 3, ("t",), "w", BeanstalkCounters(kicks=1), ID_MAX,
        meta=(("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
    ),
}  # fmt: skip
SETTINGS: dict[str, QueueSettings] = {
    "{}": QueueSettings(),
    '{"fair":true}': QueueSettings(fair=True),
    '{"budgets":[{"name":"a"},{"name":"a","key":"k","cost":2}]}': QueueSettings(budgets=(Charge("a"), Charge("a", "k", 2))),
    '{"max_running":null,"retention_ms":null}': QueueSettings(max_running=None, retention_ms=None),
    (
        '{"capacity_jobs":1,"capacity_bytes":2,"lease_ms":3,"max_attempts":4,"max_crashes":5,"max_running":6,"retention_ms":7,'
        '"retry":{"base_ms":8,"factor":9.0,"max_ms":10,"jitter":0.5},"retention_jobs":11,"retention_bytes":12,'
        '"expires_in_ms":13}'
    ): QueueSettings(1, 2, 3, 4, 5, 6, 7, RetryPolicy(8, 9.0, 10, 0.5), 11, 12, 13),
}
RECEIPTS: dict[bytes, list[Receipt]] = {
    b"[]": [],
    b'[{"id":1,"queue":"mail","priority":1024,"max_attempts":25,"created_at":1800000000000}]': [
        Receipt(1, "mail", State.READY, 1024, 25, NOW, NOW)
    ],
    (
        b'[{"id":2,"queue":"q","priority":0,"max_attempts":1,"created_at":1800000000000,"state":"scheduled","ready_at":1800000000001},'
        b'{"id":3,"queue":"q","priority":0,"max_attempts":1,"created_at":1800000000002,"state":"dead"}]'
    ): [Receipt(2, "q", State.SCHEDULED, 0, 1, NOW, NOW + 1), Receipt(3, "q", State.DEAD, 0, 1, NOW + 2, NOW + 2)],
}
BULK = [Receipt(number, "mail", State.READY, 5, 3, NOW, NOW) for number in range(10, 1_512)]
RECEIPTS[
    b'[{"id":10,"queue":"mail","priority":5,"max_attempts":3,"created_at":1800000000000,"count":1000},'
    b'{"id":1010,"queue":"mail","priority":5,"max_attempts":3,"created_at":1800000000000,"count":502}]'
] = BULK
FLOORS = {"{}": {}, '{"5":7,"4294967295":9007199254740992}': {5: 7, (1 << 32) - 1: ID_MAX + 1}}
MATCHES: dict[str, str | dict[str, str]] = {'"*"': "*", '{"kind":"^a$","grün":"b"}': {"kind": "^a$", "grün": "b"}}
QUEUES: dict[str, tuple[str, ...]] = {"[]": (), '["mail","b.c"]': ("mail", "b.c")}
PLAIN = Schedule("n", ScheduleSpec(NewJob("mail", b'{"n":1}'), interval_ms=60_000), False, NOW, NOW + 1, NOW + 2)
SCHEDULES: dict[bytes, Schedule] = {
    b'{"job":{"queue":"mail","payload":"eyJuIjoxfQ=="},"created_at":1800000000000,"next_at":1800000000001,"interval_ms":60000}': PLAIN,
    (
        b'{"job":{"queue":"q","payload":"AP8=","type":"t","content_type":"text/plain","priority":1,"delay_ms":2,"run_at":3,"max_attempts":4,'
        b'"extras":{"unique_key":"u"},"expires_in_ms":9},"created_at":1,"next_at":2,"publish":true,"cron":"* * * * *","timezone":"Europe/Vienna",'
        b'"missed":"all","overlap":false,"last_at":4,"last_jobs":[5,6],"last_error":"no","fired":7,"skipped":8,"owed_at":9,"refusals":10,'
        b'"aside":true}'
    ): Schedule(
        "m", ScheduleSpec(NewJob("q", b"\x00\xff", "t", "text/plain", 1, 2, 3, 4, Extras(unique_key="u"), expires_in_ms=9), True, "* * * * *",
                          "Europe/Vienna", None, Missed.ALL, False), True, 1, 2, 3, 4, (5, 6), "no", 7, 8, 9, 10, True,
    ),
}  # fmt: skip


def test_a_change_of_a_format_is_a_step_of_both_schemas():
    """The steps that this table is of are there, and each is one that changes formats."""
    assert "stores/formats.py" in dict(migrations())[SCHEMAS[0]]
    assert "stores/formats.py" in steps("pre")[SCHEMAS[1]].script


@pytest.mark.parametrize(("text", "extras"), EXTRAS.items())
def test_extras(text, extras):
    assert formats.extras_text(extras) == text
    if text is not None:
        assert formats.extras_of(text) == extras


@pytest.mark.parametrize(("text", "settings"), SETTINGS.items())
def test_settings(text, settings):
    assert formats.settings_text(settings) == text
    assert formats.settings_of(text) == settings


@pytest.mark.parametrize(("column", "receipts"), RECEIPTS.items())
def test_receipts(column, receipts):
    assert formats.receipts_json(receipts) == column
    assert formats.receipts_of(column) == receipts


@pytest.mark.parametrize(("text", "floors"), FLOORS.items())
def test_where_lines_begin(text, floors):
    assert formats.ready_floors_text(floors) == text
    assert formats.ready_floors_of(text) == floors


@pytest.mark.parametrize(("text", "match"), MATCHES.items())
def test_interests(text, match):
    assert formats.match_text(match) == text
    assert formats.match_of(text) == match


@pytest.mark.parametrize(("text", "queues"), QUEUES.items())
def test_queues_of_a_worker(text, queues):
    assert formats.queues_text(queues) == text
    assert tuple(formats.queues_of(text)) == queues


@pytest.mark.parametrize(("column", "schedule"), SCHEDULES.items())
def test_schedules(column, schedule):
    assert formats.schedule_json(schedule) == column
    assert formats.schedule_of(schedule.name, column, schedule.try_at, schedule.paused) == schedule


OPERATIONS = {
    '{"do":"retry","filter":{},"states":["dead"],"began_at":1}': Operation(7, Do.RETRY, JobFilter(), (State.DEAD,), 1),
    (
        '{"do":"move","filter":{"queue":"q","state":"ready","type":"t","tag":"a","text":"x","meta":[["k","v"]],"before":2,"error":"e","batch":16,"text_up_to":3,'
        '"jobs":[4]},"states":["ready"],"began_at":5,"to":"p","per_s":0.5,"limit":6,"scope":{"names":["q"],"prefixes":["r."]},"key":"key-1",'
        '"actor":{"name":"n","address":"a","door":"d"},"total":8,"at_least":true,"cursor":9,"done":10,"skipped":[{"reason":"r","count":11,"jobs":[12]}],'
        '"waits":"w","waits_why":"y","waited":15,"next_us":13,"worker":"o","claimed_until":14,"reason":"z"}'
    ): Operation(
        7, Do.MOVE, JobFilter("q", State.READY, "t", "a", "x", (("k", "v"),), 2, "e", 16, 3, (4,)), (State.READY,), 5, Doing.RUNNING, "p", 0.5, 6,
        Scope(("q",), ("r.",)), "key-1", Actor("n", "a", "d"), 8, True, 9, 10, (Skipped("r", 11, (12,)),), "w", "y", 15, 13, "o", 14, None, "z",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("column", "operation"), OPERATIONS.items())
def test_operations(column, operation):
    assert operation_formats.operation_text(operation) == column
    assert operation_formats.operation_of(7, "running", None, column) == operation


def test_closing_jobs():
    job = NewJob("q", b"\x00", "t", "text/plain", 1, 2, 3, 4, Extras(batch=7))
    text = '{"queue":"q","payload":"AA==","type":"t","content_type":"text/plain","priority":1,"delay_ms":2,"run_at":3,"max_attempts":4,"extras":{"batch":7}}'
    assert formats.closing_job_text(job) == text
    assert formats.closing_job_of(text) == job


def test_the_table_has_every_field_away_from_its_default():
    """So that no field can be renamed, moved or forgotten without a byte that changes."""
    for kind, values in ((Extras, EXTRAS), (QueueSettings, SETTINGS), (Receipt, RECEIPTS), (Schedule, SCHEDULES)):
        flat = [one for value in values.values() for one in (value if isinstance(value, list) else [value])]
        for name in set(kind.__struct_fields__) - {"unreadable", "payload_hidden"}:  # these say how an answer came about
            assert len({repr(getattr(one, name)) for one in flat}) > 1, f"{kind.__name__}.{name}"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[5000]",
        '{"lease":5}',
        '{"lease_ms":"5"}',
        '{"beanstalk":[0]}',
        '{"unique_while":"ever"}',
        "",
        "{",
        "null",
        '{"tags":[1]}',
    ],
)
def test_what_was_never_written_is_not_read(text):
    with pytest.raises(formats.UNREADABLE):
        formats.extras_of(text)


PLACED = {  # what stores had before, and what becomes of it
    positional.extras: {
        b'[5000,null,null,"unfinished",null,1,[],null,null,null,null]': b'{"lease_ms":5000}',
        b'[5000, null, "k", "queued", "g", 2, ["a"], null, null]': (
            b'{"lease_ms":5000,"unique_key":"k","unique_while":"queued","group_key":"g","group_limit":2,"tags":["a"]}'
        ),
        b'[null,{"base_ms":1,"factor":2.5,"max_ms":3,"jitter":0.125},null,"unfinished",null,1,[],"w",[1,0,3,0,0],7,null]': (
            b'{"retry":{"base_ms":1,"factor":2.5,"max_ms":3,"jitter":0.125},"worker":"w","beanstalk":{"delay_s":1,"releases":3},"follows":7}'
        ),
        b"[]": b"{}",
        b'{"lease_ms":5000}': None,
        b'[null,null,"k': None,
        b'["\xff"]': None,
        b"[" * 9_000: None,
    },
    positional.receipts: {
        bytes.fromhex("90"): b"[]",
        bytes.fromhex("9197cd0102a46d61696ca57265616479cd012c19cf000001a3185c504fcf000001a3185c504f"): (
            b'[{"id":258,"queue":"mail","priority":300,"max_attempts":25,"created_at":1800000000079}]'
        ),
        bytes.fromhex("919735a46d61696ca97363686564756c6564cd040009cf000001a3185c5000cf000001a318933e80"): (
            b'[{"id":53,"queue":"mail","priority":1024,"max_attempts":9,"created_at":1800000000000,"state":"scheduled","ready_at":1800003600000}]'
        ),
        msgspec.msgpack.encode([astuple(one) for one in BULK[:3]]): (
            b'[{"id":10,"queue":"mail","priority":5,"max_attempts":3,"created_at":1800000000000,"count":3}]'
        ),
        b"\xc1": None,
        b"": None,
        b"[]": None,
    },
    positional.schedule: {
        base64.b64decode("n6VwbGFpbpeZpG1haWzEB3sibiI6MX2gwMDAwMCbwMDAqnVuZmluaXNoZWTAAZDAwMDAwsCjVVRDzgA27oCjb25lw8LPAAABoxhcUADPAAABoxiTPoDPAAABoxiTPoDAkMAAAMAAwsI="): (
            b'{"job":{"queue":"mail","payload":"eyJuIjoxfQ=="},"created_at":1800000000000,"next_at":1800003600000,"interval_ms":3600000}'
        ),
        b"\xc1": None,
        b"\x90": None,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("turn", "before", "after"), [(turn, *pair) for turn, pairs in PLACED.items() for pair in pairs.items()]
)
def test_what_stood_by_place_is_turned_and_what_cant_be_read_is_left(turn, before, after):
    assert turn(before) == after


RETRIES = [
    '"base_ms":-1', '"base_ms":316224000001', '"max_ms":-1', f'"max_ms":{10**400}', '"factor":0.5', '"factor":1e308', '"jitter":-1', '"jitter":1.5',
]  # fmt: skip
BEYOND = [
    *[f'{{"lease_ms":{value}}}' for value in (-1, 0, 4_294_967_295_001, 1 << 63, 10**400)],
    *[f'{{"group_key":"g","group_limit":{value}}}' for value in (-1, 0, 10_001, 1 << 63)],
    *[f'{{"follows":{value}}}' for value in (-1, 1 << 63)],
    *[f'{{"beanstalk":{{"{name}":-1}}}}' for name in ("delay_s", "timeouts", "releases", "buries", "kicks")],
    *[f'{{"retry":{{{value}}}}}' for value in RETRIES],
]


@pytest.mark.parametrize("text", BEYOND)
def test_a_number_of_a_job_from_which_no_moment_can_be_reckoned_can_not_be_read(text):
    with pytest.raises(formats.UNREADABLE):
        formats.extras_of(text)
    state = f'{{"job":{{"queue":"q","payload":"MQ==","extras":{text}}},"created_at":1,"next_at":1,"interval_ms":60000}}'
    with pytest.raises(formats.UNREADABLE):
        formats.schedule_of("s", state.encode(), 1, False)


@pytest.mark.parametrize("text", [f'{{"retry":{{{value}}}}}' for value in RETRIES] + ['{"lease_ms":2592000001}'])
def test_nor_one_of_a_queue(text):
    with pytest.raises(formats.UNREADABLE):
        formats.settings_of(text)


@pytest.mark.parametrize("value", [-1, 1 << 63, 10**400])
def test_nor_one_of_a_receipt_or_of_the_last_jobs_of_a_schedule(value):
    named = {"id": 1, "queue": "q", "priority": 1, "max_attempts": 1, "created_at": 1, "ready_at": 1}
    for name in ("id", "priority", "max_attempts", "created_at", "ready_at"):
        one = ",".join(f'"{key}":{value if key == name else json.dumps(known)}' for key, known in named.items())
        with pytest.raises(formats.UNREADABLE):
            formats.receipts_of(f"[{{{one}}}]".encode())
    state = f'{{"job":{{"queue":"q","payload":"MQ=="}},"created_at":1,"next_at":1,"interval_ms":60000,"last_jobs":[{value}]}}'
    with pytest.raises(formats.UNREADABLE):
        formats.schedule_of("s", state.encode(), 1, False)


def test_what_is_remembered_of_a_column_has_a_bound_in_bytes():
    tracemalloc.start()
    try:
        for number in range(200):
            formats.match_of(msgspec.json.encode({f"{number}-{pair}": "x" * 500 for pair in range(64)}).decode())
            formats.extras_of(formats.extras_text(Extras(tags=tuple(f"{number}-{tag}" + "x" * 100 for tag in range(32)))))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 << 20, "all of them would be 20 MB"
