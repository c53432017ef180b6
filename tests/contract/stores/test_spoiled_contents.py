"""What was kept as JSON and is none any more, and schedules that say what nobody ever asked for: each is set aside alone, shown, mended, removed."""

import base64

import msgspec
import pytest

from holdfast.errors import HoldfastError, InternalError
from holdfast.job.job import Content, NewJob
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.commands import DeleteJob, DeleteSchedule, EditJob, PauseSchedule, SetSchedule
from holdfast.messages.queries import ListJobs, ListSchedules
from holdfast.messages.time_commands import FireSchedules
from holdfast.stores import formats
from tests.contract.stores.test_spoiled_extras import InDatabase, InFile

NO_JSON = [
    b"",
    b" ",
    b"\xff",
    b'"\xff"',
    b'{"a":',
    b'1,"x":2',
    b'{"a":1}}',
    b"\x00" * 40,
    b"{'a': 1}",
    b'"\n"',
    b"NaN",
    b"[" * 5_000,
]


@pytest.fixture(params=[InFile, InDatabase], ids=["sqlite", "postgres"])
def place(request, tmp_path):
    return request.param(tmp_path)


def no_json(content) -> bool:
    if content.content_type is not None:
        return False
    try:
        msgspec.json.decode(content.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return False


async def test_a_payload_that_is_no_json_any_more_spoils_no_listing_in_which_its_neighbours_are(place):
    client = place.open()
    sick = [(await client.put("q", payload=b'{"n":1}')).id for _ in NO_JSON]
    await client.put("q", payload=b"\xff", content_type="text/plain")
    for _ in range(3):
        await client.put("q", payload=b'{"\xc3\xa9":[1.5e3,null]}')
    await client.close()
    for job_id, payload in zip(sick, NO_JSON, strict=True):
        place.change("UPDATE job SET payload = ? WHERE id = ?", payload, job_id)
    client = place.open()
    page = await client.ask(ListJobs(100))
    assert len(page.jobs) == len(sick) + 4
    assert not any(no_json(detail.content) for detail in page.jobs)
    await client.do(EditJob(sick[0], Content("", None, b"2")))
    assert (await client.detail(sick[0])).content.payload == b"2"
    await client.do(DeleteJob(sick[1]))
    await client.count_again()
    await client.close()


SPOILED = {  # of a schedule, or of its job
    "a queue that can't be": ("job", "queue", "no/such queue"),
    "no queue": ("job", "queue", ""),
    "a payload": ("job", "payload", base64.b64encode(b'{"a').decode()),
    "no text": ("job", "payload", base64.b64encode(b'"\xff"').decode()),
    "no base64": ("job", "payload", "*"),
    "a priority": ("job", "priority", -1),
    "a delay": ("job", "delay_ms", (1 << 64) - 1),
    "a moment to run": ("job", "run_at", -(1 << 63)),
    "attempts": ("job", "max_attempts", 1 << 63),
    "no interval": ("schedule", "interval_ms", 0),
    "an interval backwards": ("schedule", "interval_ms", -7),
    "an interval of no time": ("schedule", "interval_ms", 1),
    "a beginning": ("schedule", "created_at", -(1 << 62)),
    "a next fire": ("schedule", "next_at", 1 << 62),
    "a last fire": ("schedule", "last_at", -1),
    "fires": ("schedule", "fired", -5),
    "fires left out": ("schedule", "skipped", (1 << 64) - 1),
    "a name that nobody gave it": ("schedule", "owner", "me"),
}


async def test_a_schedule_that_says_what_nobody_asked_for_is_set_aside_alone_and_mended_or_removed(place):
    client = place.open()
    spec = ScheduleSpec(NewJob("q", b"1"), interval_ms=1_000)
    names = {f"s{n}": spoiled for n, spoiled in enumerate(SPOILED.values())}
    for name in (*names, "well"):
        await client.do(SetSchedule(name, spec, False))
    found = {one.name: one for one in (await client.ask(ListSchedules(100))).schedules}
    now = client.clock.now()
    await client.close()
    for name, (part, at, value) in names.items():
        whole = msgspec.json.decode(formats.schedule_json(found[name]))
        (whole["job"] if part == "job" else whole)[at] = value
        place.change("UPDATE schedule SET state = ? WHERE name = ?", msgspec.json.encode(whole), name)
    client = place.open()
    client.clock.advance(max(0, now - client.clock.now()) + 3_000)
    await client.do(FireSchedules(100))
    listed = {one.name: one for one in (await client.ask(ListSchedules(100))).schedules}
    assert {name for name, one in listed.items() if one.aside} == set(names)
    assert listed["well"].fired == 3
    assert (await client.tally()).ready == 3
    assert (await client.do(FireSchedules(100))).count == 0, "none is tried again at once"
    for name in names:
        with pytest.raises(HoldfastError) as refused:
            await client.do(PauseSchedule(name, True))
        assert not isinstance(refused.value, InternalError)
    first, *others = names
    await client.do(SetSchedule(first, spec, False))
    for name in others:
        await client.do(DeleteSchedule(name))
    assert {one.name: one.aside for one in (await client.ask(ListSchedules(100))).schedules} == {first: False, "well": False}
    await client.close()


async def test_the_columns_by_which_a_schedule_is_found_are_what_is_shown_and_drawn_in(place):
    client = place.open()
    spec = ScheduleSpec(NewJob("q", b"1"), interval_ms=1_000)
    for name in ("paused", "late", "well"):
        await client.do(SetSchedule(name, spec, False))
    now = client.clock.now()
    await client.close()
    place.change("UPDATE schedule SET paused = ? WHERE name = 'paused'", True)
    place.change("UPDATE schedule SET try_at = ? WHERE name = 'late'", 1 << 60)
    if isinstance(place, InDatabase):
        place.change("DELETE FROM beat")  # nobody has served for a while
    client = place.open()
    client.clock.advance(max(0, now - client.clock.now()) + 1_500)
    for _ in range(2):  # the first of a start may have looked at what is due before it was drawn in
        await client.do(FireSchedules(100))
    shown = {one.name: (one.paused, one.fired) for one in (await client.ask(ListSchedules(100))).schedules}
    assert shown == {"paused": (True, 0), "late": (False, 1), "well": (False, 1)}
    await client.do(PauseSchedule("paused", False))
    await client.do(FireSchedules(100))
    assert not any(one.paused or not one.fired for one in (await client.ask(ListSchedules(100))).schedules)
    await client.close()
