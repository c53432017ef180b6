"""The pure parts: what wants attention, failures that are alike, a job's life, and how values are written."""

import asyncio

import msgspec
import pytest

from holdfast.doors.web import attention, formats, timeline
from holdfast.doors.web.compiled import templates
from holdfast.doors.web.schedules import worded
from holdfast.engine import failure_groups
from holdfast.job.job import Content, Job, JobError, Lease, NewJob, State
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.inbox import InboxState
from holdfast.messages.views import FailedJob, JobDetail, QueueInfo, QueueStats, Replication, StoreStats

STORE = StoreStats(1, 1, [], [], 0.0, 0, 0, 1 << 40, True, 0)


def stats(tally=None, paused=False, oldest=None, rates=None, until=0, failed=100, **policy):
    info = QueueInfo("q", QueueSettings(), QueuePolicy(**policy), paused, 0, tally or Tally(), until)
    return QueueStats(info, oldest, {"failed": failed}, rates or {})


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (stats(), []),
        (stats(Tally(ready=5), oldest=1_000), []),
        (stats(Tally(ready=5, leased=1), oldest=99_000), []),
        (stats(Tally(ready=5), oldest=99_000), ["bad: no active worker"]),
        (stats(Tally(ready=1), oldest=99_000), ["bad: has 1 ready job and no active worker"]),
        (stats(Tally(ready=5), oldest=99_000, rates={"leased": 2.0}), []),
        (stats(Tally(ready=5), paused=True, oldest=99_000), ["warn: is paused"]),
        (stats(paused=True), []),
        (
            stats(Tally(ready=5), paused=True, until=1_000),
            ["warn: is paused until 1970-01-01 00:00:01 UTC, with 5 unfinished jobs"],
        ),
        (stats(Tally(ready=80, leased=5), capacity_jobs=100), ["warn: is 85 % full"]),
        (stats(Tally(ready=95, leased=5), capacity_jobs=100), ["bad: is full (jobs)"]),
        (stats(Tally(ready=1, leased=1, bytes=100), capacity_bytes=100), ["bad: is full (bytes)"]),
        (stats(rates={"failed": 3.0, "concluded": 1.0}), ["bad: 75 % of its attempts fail"]),
        (stats(rates={"failed": 0.5, "concluded": 90.0}), []),
        (stats(rates={"failed": 0.001}), []),
        (stats(rates={"failed": 0.5}, failed=1), []),
    ],
)
def test_a_queue_says_what_is_wrong_with_it(queue, said):
    found = attention.of_queue(queue)
    assert len(found) == len(said)
    for problem, words in zip(found, said, strict=True):
        level, _, text = words.partition(": ")
        assert problem.level == level
        assert text in problem.text


def test_jobs_enqueued_by_sql_that_nobody_takes_in_are_a_problem_and_those_that_just_came_are_none():
    waiting = msgspec.structs.replace(STORE, inbox=InboxState(3, 30, 61_000))
    (found,) = attention.of_store(waiting)
    assert (found.level, found.subject) == ("bad", "3 jobs")
    assert "enqueued by SQL are not taken in; the first has waited for" in found.text
    assert attention.of_store(msgspec.structs.replace(STORE, inbox=InboxState(3, 30, 40))) == []


def test_the_worst_stands_first_and_dead_jobs_are_worse_when_they_are_new():
    queues = [stats(paused=True, tally=Tally(ready=1)), stats(Tally(dead=4))]
    assert [problem.level for problem in attention.problems(STORE, queues, 4, 0)] == ["warn", "warn"]
    found = attention.problems(STORE, queues, 4, 2)
    assert [problem.level for problem in found] == ["bad", "warn"]
    assert "2 died in the last hour" in found[0].text


def test_of_two_that_are_as_bad_the_one_with_more_jobs_that_wait_longer_stands_first():
    def stuck(name, ready, oldest):
        queue = stats(Tally(ready=ready), oldest=oldest)
        return msgspec.structs.replace(queue, info=msgspec.structs.replace(queue.info, name=name))

    few = [stuck(f"a{number}", 3, 60_000) for number in range(9)]
    queues = [*few, stuck("z-many", 48_001, 60_000), stuck("y-long", 3, 86_400_000)]
    found = attention.problems(msgspec.structs.replace(STORE, accepting=False, reason="storage_full"), queues, 0, 0)
    assert [problem.subject for problem in found] == ["The disk", "z-many", "y-long", "9 other queues"]
    full = StoreStats(1, 1, [], [], 0.0, 0, 0, 5, False, 0)
    assert attention.problems(full, [], 0, 0)[0].subject == "The disk"
    assert attention.problems(STORE, [], 0, 0) == []
    alone = msgspec.structs.replace(STORE, accepting=False, reason="replication", replication=Replication(2, 1, 0, 0, 0, 0.0))
    assert "1 of 2 needed" in attention.problems(alone, [], 0, 0)[0].text
    assert (
        "elsewhere" in attention.problems(msgspec.structs.replace(STORE, accepting=False, reason="elsewhere"), [], 0, 0)[0].text
    )


@pytest.mark.parametrize(
    ("dead", "lately", "said"),
    [
        (1, 0, "1 dead job waits for a decision: retry or delete."),
        (1, 1, "1 dead job waits for a decision: retry or delete; 1 died in the last hour."),
        (21, 0, "21 dead jobs wait for a decision: retry or delete."),
        (1_200, 30, "1,200 dead jobs wait for a decision: retry or delete; 30 died in the last hour."),
        (2, 40, "2 dead jobs wait for a decision: retry or delete; 40 died in the last hour."),  # others were retried meanwhile
    ],
)
def test_dead_jobs_are_counted_in_a_sentence(dead, lately, said):
    (problem,) = attention.problems(STORE, [], dead, lately)
    assert f"{problem.subject} {problem.text}" == said


def failed(number, reason, state="dead", at=None, **more):
    return FailedJob(number, "q", "t", state, at or number, 1, "failed", "w", reason, **more)


def test_errors_that_differ_only_in_numbers_ids_and_quotes_are_one_group():
    found = failure_groups.groups(
        [
            failed(1, "connection to 10.0.0.7:5432 refused"),
            failed(2, "connection to 10.0.0.9:5432 refused", "unfinished"),
            failed(3, "connection to 10.1.0.9:5433 refused\nsecond line", "concluded"),
            failed(4, 'no user "anna"'),
            failed(5, 'no user "berta"'),
            failed(6, "object 0x7f3a2c at 2f6c1f0e-8d1e-4c59-9f0e-1b2f3a4d5e6f is gone"),
        ]
    )
    assert [(group.error, len(group.dead), group.waiting, group.recovered) for group in found] == [
        ("no user …", 2, 0, 0),
        ("connection to … refused", 1, 1, 1),
        ("object … at … is gone", 1, 0, 0),
    ]
    refused = found[1]
    assert (refused.first_at, refused.last_at, refused.example.id) == (1, 3, 3)
    assert len({group.key for group in found}) == 3


@pytest.mark.parametrize(
    ("error_class", "line", "shape"),
    [
        ("KeyError", "KeyError: 'customer'", "KeyError: 'customer'"),
        ("", "KeyError: 'customer'", "KeyError: 'customer'"),
        ("", "KeyError: 'user-123'", "KeyError: …"),
        ("ModuleNotFoundError", "ModuleNotFoundError: No module named 'PIL'", "ModuleNotFoundError: No module named 'PIL'"),
        ("", "no user 'anna'", "no user …"),
        ("", "commit a1b2c3d is gone", "commit … is gone"),
        ("", "commit 8f3a is gone", "commit … is gone"),
        ("", "host 2001:db8::17 at 12:30:45", "host … at …"),
        ("", "no mail to ada@example.org", "no mail to …"),
        ("", "utf8 is not sha256", "utf… is not sha…"),
        ("", "std::vector of deadbeef", "std::vector of deadbeef"),
    ],
)
def test_what_differs_from_job_to_job_is_left_out_of_an_error_and_what_tells_errors_apart_is_not(error_class, line, shape):
    assert failure_groups.shape(line, error_class) == shape


def test_failures_with_a_class_are_alike_by_it_its_place_and_its_message():
    at = {"error_class": "KeyError", "place": "app.py in pay"}
    found = failure_groups.groups(
        [
            failed(1, "KeyError: 'customer'", **at),
            failed(2, "KeyError: 'customer'", **at),
            failed(3, "KeyError: 'order'", **at),
            failed(4, "could not pay 7", **at),
            failed(5, "KeyError: 'customer'", **{**at, "place": "app.py in refund"}),
        ]
    )
    assert sorted((group.error, group.place, len(group.dead)) for group in found) == [
        ("KeyError: 'customer'", "app.py in pay", 2),
        ("KeyError: 'customer'", "app.py in refund", 1),
        ("KeyError: 'order'", "app.py in pay", 1),
        ("KeyError: could not pay …", "app.py in pay", 1),
    ]
    assert len({group.key for group in found}) == 4


def test_an_error_is_named_by_one_of_its_lines():
    assert failure_groups.line_of("Traceback (most recent call last):\n  File x\nValueError: bad") == "ValueError: bad"
    assert failure_groups.line_of("\n  first\nsecond") == "first"
    assert failure_groups.line_of("") == ""
    assert len(failure_groups.line_of("x" * 10_000)) == 200


def detail(state, errors=(), **more):
    job = Job(
        1,
        "q",
        state,
        1024,
        **{"attempt": 0, "failures": 0, "crashes": 0, "max_attempts": 5, "size": 1, "created_at": 0, "ready_at": 0} | more,
    )
    return JobDetail(job, Content("", None, b""), 10_000, errors=list(errors))


def test_a_life_has_every_attempt_with_how_long_it_took_and_how_it_went():
    errors = [
        JobError(1, 2_000, "a", "failed", "no", leased_at=1_000),
        JobError(3, 6_000, "b", "crashed", "gone", leased_at=5_000),
    ]
    tries = timeline.attempts(
        detail(State.CONCLUDED, errors, attempt=4, leased_at=7_000, ended_at=9_000, ended_by=Lease(1, b"", "c", 7_000, 0))
    )
    assert [(one.number, one.outcome, one.worker, one.took) for one in tries] == [
        (1, "failed", "a", 1_000),
        (2, "released", "", None),
        (3, "crashed", "b", 1_000),
        (4, "concluded", "c", 2_000),
    ]


def test_a_life_is_drawn_within_its_line_whatever_the_clock_said():
    running = detail(
        State.LEASED, [JobError(1, -5, "a", "failed", "no", leased_at=-50)], attempt=2, lease=Lease(1, b"", "b", 9_999_999, 1)
    )
    for one in (
        running,
        detail(State.SCHEDULED, ready_at=90_000),
        detail(State.READY),
        detail(State.DEAD, ended_at=0, attempt=70),
    ):
        tries = timeline.attempts(one)
        assert len(tries) <= 41
        for span in timeline.spans(one, tries):
            assert 0 <= span.x <= span.x + span.width <= timeline.WIDTH


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (None, "–"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(ms, words):
    assert formats.duration(ms) == words


@pytest.mark.parametrize(
    ("noted", "share"),
    [
        (b"42", 42.0),
        (b"0.5", 0.5),
        (b'{"percent": 12.5, "at": "row 7"}', 12.5),
        (b'{"done": 3, "total": 4}', 75.0),
        (b'{"done": 3, "total": 0, "percent": 1}', 1.0),
        (b'{"done": 5, "total": 4}', None),
        (b'{"done": 1e999, "total": 1e999}', None),
        (b'{"done": 1' + b"0" * 400 + b', "total": 3}', None),
        (b"101", None),
        (b"-1", None),
        (b"true", None),
        (b'{"page": 3}', None),
        (b'"half"', None),
        (b"[1, 2]", None),
        (b"{", None),
    ],
)
def test_how_far_a_job_has_come_is_read_from_what_its_worker_noted(noted, share):
    assert formats.share(noted) == share


def test_a_small_picture_has_a_point_for_what_is_known_and_none_for_what_is_not():
    spark = templates().get_template("_parts.html").module.spark
    drawn = spark([None, 2, 12_345], "of mail")
    assert 'polyline points="50.0,23.0 100.0,2.0 "' in drawn
    assert 'aria-label="of mail, at most 12,345"' in drawn
    assert ">12.3 k<" in drawn
    assert "svg" not in spark([None, 2], "of mail")


def test_values_are_written_for_people():
    assert formats.number(1_234_567) == "1,234,567"
    assert [formats.short(n) for n in (0, 9_999, 12_345, 1_000_000, 2_345_678)] == ["0", "9,999", "12.3 k", "1 M", "2.3 M"]
    assert [formats.size(n) for n in (0, 1_023, 1_536, 5 << 30)] == ["0 B", "1,023 B", "1.5 KiB", "5.0 GiB"]
    assert [formats.rate(n) for n in (0.001, 0.25, 12.34, 1_234.5)] == ["0", "0.25", "12.3", "1,234"]
    assert formats.ago(1_000, 61_000) == "1 min ago"
    assert formats.ago(61_000, 1_000) == "in 1 min"
    assert [formats.drains_in(*given) for given in ((0, 1, 0), (10, 0, 0), (10, 2, 1), (10, 1, 3))] == [
        "empty",
        "never",
        "growing",
        "5.0 s",
    ]
    assert formats.pretty(b'{"a":12345678901234567890.10}', True, True) == '{\n  "a": 12345678901234567890.10\n}'
    assert formats.pretty(b'{"a":1', True, False) == '{"a":1'
    assert formats.pretty(b"\xff\x00", False, True) == "\ufffd\u2400"


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("*/5 * * * *", "every 5 minutes"),
        ("7 * * * *", "every hour at :07"),
        ("0 4 * * *", "every day at 04:00"),
        ("0 4 * * 7", "every Sunday at 04:00"),
        ("* * * * *", "every minute"),
        ("0 4 1 * *", "by 0 4 1 * *"),
    ],
)
def test_a_schedule_is_put_into_words(cron, words):
    assert worded(ScheduleSpec(NewJob("q", b""), cron=cron)) == words
    assert worded(ScheduleSpec(NewJob("q", b""), interval_ms=90_000)) == "every 1 min 30 s"


def test_the_same_problem_of_many_queues_is_one_line_with_the_worst_by_itself():
    def stuck(number, ready, oldest_ms):
        found = stats(Tally(ready=ready), oldest=oldest_ms)
        return msgspec.structs.replace(found, info=msgspec.structs.replace(found.info, name=f"q{number}"))

    queues = [stuck(0, 48_001, 3_600_000), *(stuck(number, 2, 60_000 * number) for number in range(1, 8))]
    found = attention.problems(STORE, queues, 0, 0)
    assert [f"{one.subject} {one.text}" for one in found] == [
        "q0 has 48,001 ready jobs and no active worker; the oldest has waited 1 h.",
        "6 other queues have ready jobs and no active worker: 12 unfinished jobs; the oldest has waited 6 min.",
        "q7 has 2 ready jobs and no active worker; the oldest has waited 7 min.",
    ]
    assert (found[1].path, found[1].query) == ("", {"only": "no_worker", "sort": "oldest"})
    assert len(attention.problems(STORE, queues[:3], 0, 0)) == 3, "a few have a line each"
    assert attention.kinds_of(queues[0]) == {"no_worker"}


async def test_others_have_their_turns_while_thousands_of_failures_are_grouped():
    line = "aZ9" * 66
    jobs = [FailedJob(number, "q", "", "dead", number, 1, "failed", "w", f"{line}{number}") for number in range(1_000)]
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    found = await failure_groups.groups_in_turns(jobs)
    beside.cancel()
    assert turns >= 20
    assert [(group.key, len(group.dead)) for group in found] == [
        (group.key, len(group.dead)) for group in failure_groups.groups(jobs)
    ]
