"""Every call of the client, against a real server."""

import dataclasses
from datetime import UTC, datetime, timedelta
from os import getpid
from socket import gethostname

import pytest

from holdfast import NewJob, __version__
from holdfast.client import Conclude, Extend, Fail, NotConcluded, Release, Retry
from holdfast.errors import (
    BatchClosed,
    BatchNotFound,
    InvalidRequest,
    JobNotFound,
    LeaseLost,
    QueueFull,
    QueueNotFound,
    ScheduleNotFound,
    WrongState,
)


def test_a_job_is_put_with_all_of_its_options_and_found_again(client, queue):
    at = datetime.now(UTC) + timedelta(hours=1)
    put = client.enqueue(
        queue,
        {"a": [1, None, "ä"], "big": 2**53 + 1},
        type="t",
        priority=7,
        run_at=at,
        max_attempts=3,
        lease_ms=1_000,
        unique_key="u",
        unique_while="queued",
        group_key="g",
        group_limit=2,
        tags=["x", "y"],
        retry=Retry(base_ms=1, jitter=0.0),
    )
    assert (put.queue, put.state, put.priority, put.durability.level) == (queue, "scheduled", 7, "disk")
    job = client.job(put.id)
    assert job.payload == {"a": [1, None, "ä"], "big": 2**53 + 1}
    assert (job.type, job.tags, job.unique_key, job.group_key, job.group_limit) == ("t", ["x", "y"], "u", "g", 2)
    assert abs(job.ready_at - at) < timedelta(milliseconds=2)


@dataclasses.dataclass
class Point:
    x: int
    when: datetime


def test_a_payload_can_be_a_dataclass_and_come_back_as_one(client, queue):
    point = Point(3, datetime(2026, 1, 2, tzinfo=UTC))
    client.enqueue(queue, point)
    (job,) = client.lease(queue)
    assert job.payload_as(Point) == point


def test_bytes_are_kept_as_they_are(client, queue):
    client.enqueue(queue, b"\x00\xff", tags=["a", "b"], retry=Retry(base_ms=7))
    client.enqueue(queue, "wörter", content_type="text/plain; charset=utf-8")
    first, second = client.lease(queue, max=2)
    assert (first.body, first.content_type, first.tags) == (b"\x00\xff", "application/octet-stream", ["a", "b"])
    assert (second.body, second.content_type) == ("wörter".encode(), "text/plain; charset=utf-8")


def test_many_jobs_go_in_chunks_in_their_order(client, queue):
    receipts = client.enqueue_many(NewJob(queue=queue, payload=n) for n in range(2_345))
    assert len(receipts) == 2_345
    assert [receipt.id for receipt in receipts] == sorted(receipt.id for receipt in receipts)
    assert client.queue(queue).jobs.ready == 2_345
    assert [job.payload for job in client.jobs(queue=queue, page=1_000)] == list(range(2_345))


def test_a_refused_chunk_says_what_the_chunks_before_it_put(client, queue):
    client.set_queue(queue, capacity_jobs=1_500)
    with pytest.raises(QueueFull) as refused:
        client.enqueue_many(NewJob(queue=queue, payload=n) for n in range(2_000))
    assert len(refused.value.enqueued) == client.queue(queue).jobs.ready == 1_000


def test_the_same_key_gets_the_first_answer_again(client, queue):
    first = client.enqueue(queue, 1, idempotency_key=f"{queue}-k")
    second = client.enqueue(queue, 1, idempotency_key=f"{queue}-k")
    assert (second.id, first.duplicate, second.duplicate) == (first.id, False, True)


def test_the_jobs_of_an_idempotency_key_are_found(client, queue):
    put = client.enqueue(queue, 1, idempotency_key=f"{queue} / k?")
    assert [each.id for each in client.receipts(f"{queue} / k?")] == [put.id]
    assert [each.id for each in client.receipts(f"{queue} / k?", queue=queue)] == [put.id]
    assert client.receipts(f"{queue} / none") == []
    (held,) = client.lease(queue)
    client.fail(held.lease.token, "no", retry=False)
    assert client.job(put.id).errors[0].leased_at == held.leased_at


def test_an_event_goes_to_every_queue_that_wants_it(client, queue):
    client.set_interest(queue, {f"^{queue}$": "."})
    assert client.interest(queue).match == {f"^{queue}$": "."}
    assert queue in [interest.queue for interest in client.interests()]
    assert client.who_wants({queue: "x"}) == [queue]
    assert [copy.queue for copy in client.publish({queue: "x"}, priority=3).jobs] == [queue]
    client.delete_interest(queue)
    assert client.publish({queue: "x"}).jobs == []
    with pytest.raises(QueueNotFound):
        client.delete_interest(queue)


def test_the_scale_of_a_queue(client, queue):
    client.enqueue(queue, 1)
    found = client.scale(queue, drain_ms=1_000, concurrency=5)
    assert (found.queue, found.backlog, found.running, found.workers, found.work_ms) == (queue, 1, 0, 1, None)
    with pytest.raises(InvalidRequest) as refused:
        client.scale(queue, concurrency=0)
    assert refused.value.field == "concurrency"
    with pytest.raises(QueueNotFound):
        client.scale(f"{queue}.nowhere")


def test_a_lease_is_extended_and_concluded_with_a_follow_up(client, queue):
    client.enqueue(queue, 1)
    (job,) = client.lease(queue, lease_ms=60_000, worker="anna")
    assert (job.attempt, job.lease.worker) == (1, "anna")
    assert 0 < job.lease.ms_left <= 60_000
    assert client.extend(job.lease.token, lease_ms=90_000, progress={"at": 1}).ms_left > 60_000
    assert client.job(job.id).progress == {"at": 1}
    done = client.conclude(job.lease.token, {"ok": True}, then=[NewJob(queue=f"{queue}.next", payload=2)])
    assert (done.state, [follow.queue for follow in done.then]) == ("concluded", [f"{queue}.next"])
    assert client.result(job.id) == {"ok": True}


def test_failing_releasing_and_a_lost_lease(client, queue):
    put = client.enqueue(queue, 1)
    (job,) = client.lease(queue)
    assert client.release(job.lease.token, priority=5).state == "ready"
    with pytest.raises(LeaseLost) as lost:
        client.extend(job.lease.token)
    assert (lost.value.job_id, lost.value.attempt, lost.value.status) == (put.id, 1, 409)
    (job,) = client.lease(queue)
    assert client.fail(job.lease.token, "why", delay_ms=60_000).state == "scheduled"
    client.promote(put.id)
    (job,) = client.lease(queue)
    assert client.fail(job.lease.token, "for good", retry=False).state == "dead"
    assert [error.reason for error in client.job(put.id).errors] == ["why", "for good"]
    with pytest.raises(NotConcluded) as ended:
        client.result(put.id)
    assert ended.value.job.reason == "failed"


def test_a_batch_gives_each_entry_its_own_outcome_in_order(client, queue):
    client.enqueue_many(NewJob(queue=queue, payload=n) for n in range(4))
    one, two, three, four = [job.lease.token for job in client.lease(queue, max=4)]
    got = client.batch(
        [Fail(token=one), Conclude(token=two, result=1), Conclude(token="3.1.9.00"), Release(token=three), Extend(token=four)]
    )
    assert [getattr(each, "state", None) for each in got] == ["scheduled", "concluded", None, "ready", None]
    assert isinstance(got[2], LeaseLost)
    assert got[4].ms_left > 0


def test_waiting_for_a_job_ends_with_it_or_with_the_time(client, queue):
    put = client.enqueue(queue, 1)
    with pytest.raises(TimeoutError):
        client.wait(put.id, timeout_s=0.05)
    client.cancel(put.id)
    assert client.wait(put.id).state == "cancelled"


def test_a_lease_is_taken_back_from_its_worker(client, queue):
    put = client.enqueue(queue, 1)
    (job,) = client.lease(queue)
    assert (client.release_lease(put.id, job.attempt).state, client.job(put.id).failures) == ("ready", 0)
    with pytest.raises(LeaseLost):
        client.conclude(job.lease.token)
    with pytest.raises(WrongState):
        client.release_lease(put.id)


def test_a_conflict_is_solved_as_its_producer_asks(client, queue):
    first = client.enqueue(queue, 1, unique_key="u")
    assert not first.duplicate
    same = client.enqueue(queue, 2, unique_key="u", on_conflict="existing")
    assert (same.id, same.duplicate, client.job(first.id).payload) == (first.id, True, 1)
    client.enqueue(queue, 3, unique_key="u", on_conflict="replace")
    off = client.enqueue(queue, 4, unique_key="u", on_conflict="debounce", delay_ms=60_000, debounce_max_ms=90_000)
    assert (off.state, client.job(first.id).payload) == ("scheduled", 4)
    jobs = [NewJob(queue=queue, unique_key=key, on_conflict="existing") for key in ("u", "w")]
    assert [receipt.duplicate for receipt in client.enqueue_many(jobs)] == [True, False]


def test_meta_goes_with_a_job_to_its_worker_and_finds_it(client, queue):
    mine = client.enqueue(queue, 1, meta={"tenant": "7", "a&b": "c=d"}).id
    raw = client.enqueue(queue, b"x", content_type="text/plain", meta={"tenant": "8", "a,b": "[1]"}).id
    assert [job.id for job in client.jobs(queue=queue, meta={"tenant": "7", "a&b": "c=d"})] == [mine]
    assert [job.id for job in client.jobs(queue=queue, meta={"a,b": "[1]"})] == [raw]
    assert client.edit(raw, meta={"tenant": "9"}).meta == {"tenant": "9"}
    assert [job.meta for job in client.lease(queue, max=2)] == [{"tenant": "7", "a&b": "c=d"}, {"tenant": "9"}]


def test_jobs_are_found_and_changed_by_a_value_in_their_payload(client, queue):
    mine = client.enqueue(queue, {"order": {"id": 42}, "paid": True}).id
    other = client.enqueue(queue, {"order": {"id": 43}, "paid": True}).id
    assert [job.id for job in client.jobs(queue=queue, field={"order.id": "42"})] == [mine]
    assert [job.id for job in client.jobs(queue=queue, field={"paid": "true"})] == [mine, other]
    begun = client.start_operation("cancel", queue=queue, field={"order.id": "43"})
    assert client.wait_operation(begun.id, 30).done == 1
    assert [client.job(one).state for one in (mine, other)] == ["ready", "cancelled"]


def test_jobs_are_managed(client, queue):
    put = client.enqueue(queue, 1, delay_ms=60_000)
    assert client.why(put.id).reasons[0].code == "scheduled"
    assert client.edit(put.id, payload={"b": 2}, tags=["new"]).payload == {"b": 2}
    assert client.promote(put.id).state == "ready"
    with pytest.raises(WrongState):
        client.retry(put.id)
    client.delete(put.id)
    with pytest.raises(JobNotFound) as gone:
        client.job(put.id)
    assert gone.value.job_id == put.id
    assert gone.value.request_id


def test_queues_are_managed(client, queue):
    made = client.set_queue(queue, capacity_jobs=10, retention_ms=None)
    assert (made.settings["capacity_jobs"], made.settings["retention_ms"]) == (10, None)
    assert set(client.change_queue(queue, lease_ms=1_000).set) == {"capacity_jobs", "retention_ms", "lease_ms"}
    assert client.pause(queue).paused
    client.enqueue(queue)
    assert client.lease(queue) == []
    assert not client.resume(queue).paused
    assert client.purge(queue) == 1
    assert queue in [each.name for each in client.queues(page=2)]
    client.delete_queue(queue)
    with pytest.raises(QueueNotFound):
        client.queue(queue)


def test_schedules_are_managed(client, queue):
    assert client.set_schedule(queue, interval_ms=60_000, queue=queue, payload=1).interval_ms == 60_000
    assert len(client.run_schedule(queue).jobs) == 1
    assert client.pause_schedule(queue).paused
    assert not client.resume_schedule(queue).paused
    assert queue in [schedule.name for schedule in client.schedules()]
    client.delete_schedule(queue)
    with pytest.raises(ScheduleNotFound):
        client.schedule(queue)


def test_workers_are_registered_and_sent_home(client, queue):
    worker = client.register_worker([queue], "me")
    assert (worker.host, worker.pid, worker.version) == (gethostname(), getpid(), f"holdfast {__version__}")
    assert client.register_worker([queue], version="shop 7").version == "shop 7"
    with pytest.raises(InvalidRequest, match="128 characters"):
        client.register_worker([queue], version="v" * 129)
    client.enqueue(queue)
    (job,) = client.lease(queue, worker=worker.id)
    assert [work.id for work in client.worker(worker.id).jobs] == [job.id]
    assert client.quiet(worker.id).state == client.beat(worker.id).state == "quiet"
    assert client.stop_worker(worker.id).state == client.beat(worker.id).state == "stopping"
    assert client.quiet(worker.id).state == "stopping", "never backwards"
    assert worker.id in [each.id for each in client.workers()]
    client.remove_worker(worker.id)


def test_the_server_tells_of_itself(client, queue):
    client.enqueue(queue)
    assert queue in [each["name"] for each in client.stats()["queues"]]
    assert client.ready()


def test_a_refusal_names_field_bound_and_request(client, queue):
    with pytest.raises(InvalidRequest) as refused:
        client.enqueue(queue, 1, priority=-1)
    error = refused.value
    assert (error.code, error.status, error.field) == ("invalid_request", 400, "priority")
    assert error.request_id
    assert "4294967295" in error.detail


CALLS_BY_NAME = {
    "queue": (), "delete_queue": (), "pause": (), "purge": (), "enqueue": (), "job": (), "delete": (), "cancel": (), "move": ("q",),
    "conclude": (), "extend": (), "schedule": (), "delete_schedule": (), "worker": (), "remove_worker": (), "interest": (),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS_BY_NAME)
def test_an_empty_name_is_refused_and_never_means_what_is_above_it(client, name):
    with pytest.raises(InvalidRequest, match="is empty"):
        getattr(client, name)("", *CALLS_BY_NAME[name])


def test_the_audit_log_is_read_by_filters_page_after_page(client, queue):
    job = client.enqueue(queue).id
    begin = datetime.now(UTC) - timedelta(minutes=5)
    client.pause(queue)
    with client.as_one("two jobs", queue):
        client.cancel(job)
        client.cancel(client.enqueue(queue).id)
    client.resume(queue)
    found = list(client.audit(queue=queue, since=begin, page=1))
    assert [(entry.action, entry.target, entry.done) for entry in found] == [
        ("queue.resume", None, 1),
        ("job.cancel", "two jobs", 2),
        ("queue.pause", None, 1),
    ]
    assert [entry.action for entry in client.audit(queue=queue, after=found[1].id, page=1)] == ["queue.resume"]
    assert [entry.action for entry in client.audit(queue=queue, action="job", outcome="done", who="127.0.0.1")] == [
        "job.cancel"
    ]
    assert list(client.audit(queue=queue, until=begin)) == []


def test_a_batch_is_collected_and_made_at_the_end_of_its_block(client, queue):
    done = f"{queue}-done"
    with client.new_batch("report", on_success=NewJob(queue=done, payload="all"), on_failure=NewJob(queue=done)) as batch:
        for page in range(2):
            batch.add(queue, {"page": page}, priority=5)
        assert batch.id is None
    assert [job.id for job in client.jobs(batch=batch.id)] == batch.jobs
    shown = client.batch_status(batch.id)
    assert (shown.name, shown.state, shown.pending, shown.total) == ("report", "closed", 2, 2)
    assert (shown.on_success.state, shown.on_success.queue, shown.on_finish) == ("waits", done, None)
    for job in client.lease(queue, max=2):
        assert (job.batch, job.priority) == (batch.id, 5)
        client.conclude(job.lease.token)
    (job,) = client.lease(done)
    assert (job.payload, job.closes.batch, job.closes.on, job.closes.concluded) == ("all", batch.id, "on_success", 2)
    shown = client.batch_status(batch.id)
    assert (shown.state, shown.on_success.state, shown.on_success.job, shown.on_failure.state) == (
        "finished",
        "put",
        job.id,
        "never",
    )
    assert shown.finished_at is not None


def test_of_a_batch_whose_block_raises_nothing_is_enqueued(client, queue):
    def give_up():
        with client.new_batch() as batch:
            batch.add(queue)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    client.set_queue(queue)
    assert client.queue(queue).jobs.ready == 0


def test_a_batch_of_thousands_is_closed_when_all_of_its_jobs_are_in(client, queue):
    made = client.make_batch((NewJob(queue=queue, payload=n) for n in range(2_345)), name="many")
    assert len(made.jobs) == 2_345
    shown = client.batch_status(made.id)
    assert (shown.state, shown.pending) == ("closed", 2_345)
    assert client.cancel_batch(made.id) == 2_345
    assert client.batch_status(made.id).state == "finished"
    assert next(iter(client.batches(state="finished"))).id == made.id


def test_a_running_job_adds_to_its_own_closed_batch(client, queue):
    made = client.make_batch(closed=False)
    client.enqueue(queue, 1, batch=made.id)
    client.close_batch(made.id)
    (job,) = client.lease(queue)
    with pytest.raises(BatchClosed):
        client.enqueue(queue, 2, batch=made.id)
    client.enqueue(queue, 2, batch=made.id, lease=job.lease.token)
    client.enqueue_many([NewJob(queue=queue, payload=3, batch=made.id)], lease=job.lease.token)
    assert client.batch_status(made.id).pending == 3
    with pytest.raises(BatchNotFound):
        client.batch_status(987_654)
