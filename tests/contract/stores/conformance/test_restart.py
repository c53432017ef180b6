"""What outlives the process: a store that is closed and opened again is the store that it was."""

from holdfast.job.job import IdempotencyKey, NewJob, State
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.commands import ConcludeLease, Enqueue, PauseQueue, SetQueue
from holdfast.messages.queries import ListJobs
from holdfast.messages.time_commands import ForgetHistory


async def test_every_job_is_as_it_was(lasting_place, reopen, new):
    desk = await reopen(lasting_place)
    await desk.put_all(
        [
            new(payload=b"\x00\xff", content_type="image/png", type="t", tags=("a",)),
            new(delay_ms=9_000, priority=1),
            *(new(group_key="g") for _ in range(3)),
            new(queue="r", unique_key="u"),
        ]
    )
    first = await desk.take()
    await desk.do(ConcludeLease(first.ref(), b'"done"', [new(queue="r")]))
    await desk.take("r", request="again")
    before = [(await desk.ask(ListJobs(100))), await desk.detail(first.id), await desk.queue("q"), await desk.queue("r")]
    desk = await reopen(lasting_place, desk)
    assert [
        (await desk.ask(ListJobs(100))),
        await desk.detail(first.id),
        await desk.queue("q"),
        await desk.queue("r"),
    ] == before
    await desk.count_again()
    await desk.close()


async def test_ids_and_fences_go_on_where_they_were_even_when_the_last_jobs_are_gone(lasting_place, reopen):
    desk = await reopen(lasting_place)
    for _ in range(3):
        await desk.put()
    fences = [(await desk.take()).lease.fence for _ in range(3)]
    await desk.pass_time(300_000)
    for _ in range(3):
        job = await desk.take()
        fences.append(job.lease.fence)
        await desk.do(ConcludeLease(job.ref()))
    await desk.do(SetQueue("q", QueueSettings(retention_ms=0), whole=True))
    await desk.pass_time(1)
    await desk.do(ForgetHistory(10))
    assert await desk.walk() == []
    desk = await reopen(lasting_place, desk)
    assert (await desk.put()).id == 4
    assert (await desk.take()).lease.fence == max(fences) + 1
    await desk.close()


async def test_a_lease_from_before_can_still_be_ended_afterwards(lasting_place, reopen):
    desk = await reopen(lasting_place)
    await desk.put()
    job = await desk.take()
    desk = await reopen(lasting_place, desk)
    assert (await desk.do(ConcludeLease(job.ref()))).state is State.CONCLUDED
    await desk.close()


async def test_the_answer_to_an_idempotency_key_is_still_known(lasting_place, reopen):
    desk = await reopen(lasting_place)
    key = IdempotencyKey("q", "k", b"d")
    first = await desk.do(Enqueue([NewJob("q", b"1")], key))
    desk = await reopen(lasting_place, desk)
    again = await desk.do(Enqueue([NewJob("q", b"1")], key))
    assert (again.jobs, again.duplicate) == (first.jobs, True)
    await desk.close()


async def test_a_queue_keeps_its_settings_and_its_pause_and_follows_new_defaults_in_the_rest(lasting_place, reopen):
    desk = await reopen(lasting_place)
    await desk.do(SetQueue("q", QueueSettings(capacity_jobs=5, max_running=None), whole=True))
    await desk.do(PauseQueue("q", True))
    desk = await reopen(lasting_place, desk, QueuePolicy(capacity_jobs=7, lease_ms=1_234, max_running=3))
    info = await desk.queue()
    assert info.paused
    assert info.settings == QueueSettings(capacity_jobs=5, max_running=None)
    assert (info.policy.capacity_jobs, info.policy.lease_ms, info.policy.max_running) == (5, 1_234, None)
    await desk.close()
