"""What outlives the process: a store that is closed and opened again is the store that it was."""

from holdfast.job.job import IdempotencyKey, NewJob, State
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.commands import ConcludeLease, Enqueue, PauseQueue, SetQueue
from holdfast.messages.queries import ListJobs
from holdfast.messages.time_commands import ForgetHistory


async def test_every_job_is_as_it_was(lasting_place, reopen, new):
    client = await reopen(lasting_place)
    await client.put_all(
        [
            new(payload=b"\x00\xff", content_type="image/png", type="t", tags=("a",)),
            new(delay_ms=9_000, priority=1),
            *(new(group_key="g") for _ in range(3)),
            new(queue="r", unique_key="u"),
        ]
    )
    first = await client.take()
    await client.do(ConcludeLease(first.ref(), b'"done"', [new(queue="r")]))
    await client.take("r", request="again")
    before = [
        (await client.ask(ListJobs(100))),
        await client.detail(first.id),
        await client.queue("q"),
        await client.queue("r"),
    ]
    client = await reopen(lasting_place, client)
    assert [
        (await client.ask(ListJobs(100))),
        await client.detail(first.id),
        await client.queue("q"),
        await client.queue("r"),
    ] == before
    await client.count_again()
    await client.close()


async def test_ids_and_fences_go_on_where_they_were_even_when_the_last_jobs_are_gone(lasting_place, reopen):
    client = await reopen(lasting_place)
    for _ in range(3):
        await client.put()
    fences = [(await client.take()).lease.fence for _ in range(3)]
    await client.pass_time(300_000)
    for _ in range(3):
        job = await client.take()
        fences.append(job.lease.fence)
        await client.do(ConcludeLease(job.ref()))
    await client.do(SetQueue("q", QueueSettings(retention_ms=0), whole=True))
    await client.pass_time(1)
    await client.do(ForgetHistory(10))
    assert await client.walk() == []
    client = await reopen(lasting_place, client)
    assert (await client.put()).id == 4
    assert (await client.take()).lease.fence == max(fences) + 1
    await client.close()


async def test_a_lease_from_before_can_still_be_ended_afterwards(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.put()
    job = await client.take()
    client = await reopen(lasting_place, client)
    assert (await client.do(ConcludeLease(job.ref()))).state is State.CONCLUDED
    await client.close()


async def test_the_answer_to_an_idempotency_key_is_still_known(lasting_place, reopen):
    client = await reopen(lasting_place)
    key = IdempotencyKey("q", "k", b"d")
    first = await client.do(Enqueue([NewJob("q", b"1")], key))
    client = await reopen(lasting_place, client)
    again = await client.do(Enqueue([NewJob("q", b"1")], key))
    assert (again.jobs, again.duplicate) == (first.jobs, True)
    await client.close()


async def test_a_queue_keeps_its_settings_and_its_pause_and_follows_new_defaults_in_the_rest(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=5, max_running=None), whole=True))
    await client.do(PauseQueue("q", True))
    client = await reopen(lasting_place, client, QueuePolicy(capacity_jobs=7, lease_ms=1_234, max_running=3))
    info = await client.queue()
    assert info.paused
    assert info.settings == QueueSettings(capacity_jobs=5, max_running=None)
    assert (info.policy.capacity_jobs, info.policy.lease_ms, info.policy.max_running) == (5, 1_234, None)
    await client.close()
