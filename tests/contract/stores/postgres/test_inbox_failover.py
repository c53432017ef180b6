"""The inbox over a failover: what an application committed on the lost primary is taken in from the next one, once, under the id that it was told."""

import asyncio
import contextlib

from holdfast.committer.intake import Intake
from holdfast.doors.rest import inbox
from holdfast.errors import StoreUnavailable
from tests.contract.stores.postgres.test_commit_protocol import _take_over, _until_sync

JOBS = 50
LEFT = "SELECT count(*) FROM holdfast.inbox"
IDS = "SELECT j.id FROM holdfast.job j JOIN holdfast.queue q ON q.id = j.queue WHERE q.name = 'orders' ORDER BY j.id"


async def in_thread(work, *arguments):
    return await asyncio.to_thread(work, *arguments)


async def test_what_was_committed_before_the_primary_was_lost_is_taken_in_after_it_once(group, node):
    one = node()
    await one.put()  # the schema is there
    reading = inbox.reading(1_000)
    one.store._options = reading.options
    intake = Intake(one.store.inbox, reading, one.backend.submit, one.backend.totals.taken_in)
    with group.primary.connect(database="holdfast") as application:
        query = "SELECT holdfast.enqueue('orders', n::text) FROM generate_series(1, %s) n"
        numbers = [number for (number,) in application.execute(query, [JOBS])]
        await intake.work()
        numbers += [number for (number,) in application.execute(query, [JOBS])]
    old = group.primary
    await in_thread(old.kill)
    await in_thread(lambda: group.promote(group.most_advanced()))
    await in_thread(_until_sync, group, 1)
    assert await in_thread(lambda: group.primary.value(LEFT, database="holdfast")) >= JOBS
    async with asyncio.timeout(60):
        while await in_thread(lambda: group.primary.value(LEFT, database="holdfast")):
            with contextlib.suppress(StoreUnavailable):
                await intake.work()
    found = await in_thread(lambda: group.primary.sql(IDS, database="holdfast"))
    assert [number for (number,) in found] == numbers
    await in_thread(group.recreate, old)
    await in_thread(_take_over, group, old)
