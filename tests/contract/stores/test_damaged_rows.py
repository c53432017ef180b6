"""Rows that are missing, numbers beyond all bounds and names that are no text, in a real store: what stands beside them is served as if nothing were."""

import sqlite3
from contextlib import closing

import pytest

from holdfast.job.job import NewJob
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.commands import DeleteSchedule, SetSchedule
from holdfast.messages.queries import ListSchedules
from holdfast.messages.time_commands import FireSchedules
from holdfast.stores.sqlite import maintenance
from tests.contract.stores.damaged import (
    TABLES,
    InFile,
    everything_holds,
    filled_store,
    folder,
    place,
    templates,
    the_neighbour_is_served,
    time_passes,
)

__all__ = ["folder", "place", "templates"]

pytestmark = pytest.mark.long(40)


@pytest.mark.parametrize("table", [table for table in TABLES if table != "queue"])
async def test_rows_that_are_missing_from_any_table_keep_nobody_from_being_served(place, table, templates):
    await filled_store(place, templates)
    place.remove(table)
    await everything_holds(place.open())


BEYOND = (
    ("job", "extras", f'{{"lease_ms":{10**30}}}'),
    ("job", "extras", '{"retry":{"factor":1e308}}'),
    ("queue", "settings", f'{{"retry":{{"max_ms":{10**400}}}}}'),
    ("kept_answer", "receipts", f'[{{"id":{10**30},"queue":"sick","priority":1,"max_attempts":1,"created_at":1}}]'.encode()),
    (
        "schedule",
        "state",
        b'{"job":{"queue":"sick","payload":"MQ=="},"created_at":1,"next_at":1,"interval_ms":1000,"overlap":false,"last_jobs":[1%030d]}'
        % 0,
    ),
)
"""Columns of JSON that are well formed, with a number that no store could take."""


@pytest.mark.parametrize(("table", "column", "value"), BEYOND)
async def test_a_number_beyond_all_bounds_keeps_nobody_from_being_served(place, table, column, value, templates):
    await filled_store(place, templates)
    assert place.damage(table, column, value)
    await everything_holds(place.open())


async def test_a_queue_that_is_missing_under_its_jobs_is_there_again_and_gives_nothing_out(place, templates):
    await filled_store(place, templates)
    place.remove("queue")
    client = place.open()
    await the_neighbour_is_served(client)
    await time_passes(client)
    await the_neighbour_is_served(client)
    await client.close()


async def test_a_schedule_whose_name_is_no_text_goes_on_under_another_and_holds_up_nobody(tmp_path):
    place = InFile(tmp_path)
    client = place.open()
    spec = ScheduleSpec(NewJob("q", b"1"), interval_ms=3_600_000)
    await client.do(SetSchedule("good", spec, False))
    await client.do(SetSchedule("sick", spec, False))
    await client.close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as other, other:
        other.execute("UPDATE schedule SET name = CAST(x'ff' AS TEXT) WHERE name = 'sick'")
    client = place.open()
    await client.put()
    await client.do(FireSchedules(10))
    names = [schedule.name for schedule in (await client.ask(ListSchedules(10))).schedules]
    assert [name.partition("-")[0] for name in names] == ["good", "recovered"]
    await client.do(DeleteSchedule(names[1]))
    await client.close()
    assert maintenance.check(tmp_path / "jobs.db") == []
