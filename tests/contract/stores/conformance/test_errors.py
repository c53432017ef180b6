"""What an attempt raised is kept with its reason, and failures are alike by class, place and message."""

import pytest

from holdfast.engine.failure_groups import groups
from holdfast.job.job import Raised, State
from holdfast.limits import ERRORS_KEPT
from holdfast.messages.commands import FailLease, RetryJob
from holdfast.messages.queries import RecentFailures

RAISED = Raised("ConnectionError", 'no "route" \\ to\nhost ü', "Traceback …\n", "/srv/app/mail.py in send")


@pytest.fixture
def fail(client):
    """Have the next job fail."""

    async def fail(raised=RAISED, reason="no", **options):
        job = await client.take()
        return await client.do(FailLease(job.ref(), reason, raised=raised, **options))

    return fail


async def test_what_was_raised_is_kept_as_it_was_told(client, fail):
    receipt = await client.put()
    await fail(delay_ms=0)
    await fail(raised=None, delay_ms=0)
    await fail(raised=Raised("E"), delay_ms=0)
    errors = (await client.detail(receipt.id)).errors
    assert [error.raised for error in errors] == [RAISED, None, Raised("E")]
    assert [error.reason for error in errors] == ["no", "no", "no"]


async def test_the_same_failure_again_is_recognized(client):
    await client.put()
    job = await client.take()
    first = await client.do(FailLease(job.ref(), "no", raised=RAISED, delay_ms=0))
    assert await client.do(FailLease(job.ref(), "no", raised=RAISED, delay_ms=0)) == first


async def test_as_many_errors_are_kept_as_of_reasons(client, fail):
    receipt = await client.put(max_attempts=ERRORS_KEPT + 9)
    for number in range(ERRORS_KEPT + 3):
        await fail(raised=Raised("E", f"{number}"), delay_ms=0)
    errors = (await client.detail(receipt.id)).errors
    assert [error.raised.message for error in errors] == [f"{number}" for number in range(3, ERRORS_KEPT + 3)]


async def test_failures_are_alike_by_class_place_and_message_but_for_what_differs_from_job_to_job(client, fail):
    async def failed(kind, place, reason, **options):
        await client.put()
        await fail(raised=Raised(kind, reason, f"at job {reason}", place), reason=reason, **options)

    for number in range(3):
        await failed("ConnectionError", "mail.py in send", f"host {number} is away", retry=False)
    await failed("ConnectionError", "mail.py in send", "host 0 is gone", retry=False)
    await failed("ConnectionError", "mail.py in receive", "host 0 is away", retry=False)
    await failed("OSError", "mail.py in send", "OSError: host 0 is away", delay_ms=9_000)
    await client.put()
    await fail(raised=None, reason="host 0 is away", retry=False)
    found = groups((await client.ask(RecentFailures(100))).jobs)
    assert sorted((group.error, group.place, len(group.dead), group.waiting) for group in found) == [
        ("ConnectionError: host … is away", "mail.py in receive", 1, 0),
        ("ConnectionError: host … is away", "mail.py in send", 3, 0),
        ("ConnectionError: host … is gone", "mail.py in send", 1, 0),
        ("OSError: host … is away", "mail.py in send", 0, 1),
        ("host … is away", "", 1, 0),
    ]
    assert len({group.key for group in found}) == 5
    assert groups((await client.ask(RecentFailures(100, "q"))).jobs) == found


async def test_what_was_raised_outlives_a_retry_and_a_restart(lasting_place, reopen):
    client = await reopen(lasting_place)
    receipt = await client.put()
    job = await client.take()
    await client.do(FailLease(job.ref(), "no", raised=RAISED, retry=False))
    await client.do(RetryJob(receipt.id))
    client = await reopen(lasting_place, client)
    detail = await client.detail(receipt.id)
    assert (detail.job.state, detail.errors[0].raised) == (State.READY, RAISED)
    await client.close()
