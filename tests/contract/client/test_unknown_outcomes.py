"""Answers that get lost, proxies that time out, servers that are away: what may be repeated is, nothing happens twice, and what stays
unknown is called so.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.ports import free_port
from holdfast import Client, NewJob
from holdfast.client import Unreachable
from holdfast.errors import Draining, LeaseLost, OutcomeUnknown, Overloaded, QueueFull
from tests.contract.client.clients import PATIENCE_S
from tests.contract.client.proxy import CUT, PASS, answer

PROBLEM = '{"code":"%s","status":503,"detail":"not now","retry_after_ms":%d}'
TROUBLE = {
    "a cut connection": [CUT] * 2,
    "a proxy's 502": [answer("502 Bad Gateway")],
    "a proxy's 504": [answer("504 Gateway Timeout")],
    "outcome_unknown": [answer("503 Service Unavailable", PROBLEM % ("outcome_unknown", 10))],
}


@pytest.fixture(params=TROUBLE)
def trouble(request, proxy):
    """Makes the next answers get lost; the requests have been carried out."""

    def begin():
        proxy.plan.extend(TROUBLE[request.param])

    return begin


@pytest.fixture
def through(clients, proxy):
    """A client that goes through the proxy."""
    return clients(proxy.url)


def test_a_job_is_put_once(through, witness, queue, trouble):
    trouble()
    put = through.enqueue(queue, 1)
    assert put.duplicate
    assert [job.id for job in witness.jobs(queue=queue)] == [put.id]


def test_jobs_in_chunks_are_put_once(through, witness, queue, trouble):
    trouble()
    receipts = through.enqueue_many(NewJob(queue=queue, payload=n) for n in range(1_100))
    assert [job.id for job in witness.jobs(queue=queue)] == [receipt.id for receipt in receipts]


def test_an_event_is_published_once(through, witness, queue, trouble):
    witness.set_interest(queue, {f"^{queue}$": "."})
    trouble()
    published = through.publish({queue: 1})
    assert [job.id for job in witness.jobs(queue=queue)] == [copy.id for copy in published.jobs]
    witness.delete_interest(queue)


def test_a_lease_whose_answer_was_lost_is_given_again(through, witness, queue, trouble):
    ids = [witness.enqueue(queue, n).id for n in range(4)]
    trouble()
    assert [(job.id, job.attempt) for job in through.lease(queue, max=2)] == [(ids[0], 1), (ids[1], 1)]
    assert [job.id for job in witness.lease(queue, max=4)] == ids[2:]


def test_a_job_is_concluded_once_with_its_follow_up(through, witness, queue, trouble):
    witness.enqueue(queue)
    (job,) = witness.lease(queue)
    trouble()
    assert through.conclude(job.lease.token, then=[NewJob(queue=f"{queue}.next")]).state == "concluded"
    assert witness.queue(f"{queue}.next").jobs.ready == 1


def test_a_failure_is_counted_once(through, witness, queue, trouble):
    witness.enqueue(queue)
    (job,) = witness.lease(queue)
    trouble()
    assert through.fail(job.lease.token, delay_ms=60_000).state == "scheduled"
    assert witness.job(job.id).failures == 1


def test_a_release_that_may_have_been_done_is_of_unknown_outcome(through, witness, queue, trouble):
    witness.enqueue(queue)
    (job,) = witness.lease(queue)
    trouble()
    with pytest.raises(OutcomeUnknown):
        through.release(job.lease.token)
    assert witness.job(job.id).state == "ready"
    with pytest.raises(LeaseLost):
        through.release(job.lease.token)


def test_what_is_gone_already_counts_as_removed(through, witness, queue, trouble):
    put = witness.enqueue(queue)
    trouble()
    through.delete(put.id)
    trouble()
    through.delete_queue(queue)


@pytest.mark.parametrize(("verb", "state"), [("cancel", "cancelled"), ("promote", "ready")])
def test_a_job_is_managed_once_and_shown_as_it_is(through, witness, queue, trouble, verb, state):
    put = witness.enqueue(queue, delay_ms=60_000)
    trouble()
    assert getattr(through, verb)(put.id).state == state


def test_a_lease_is_taken_back_once(through, witness, queue, trouble):
    put = witness.enqueue(queue)
    witness.lease(queue)
    trouble()
    assert through.release_lease(put.id, 1).state == "ready"


def test_what_must_not_be_repeated_is_not(through, witness, queue, trouble):
    witness.set_schedule(queue, interval_ms=86_400_000, queue=queue)
    trouble()
    with pytest.raises(OutcomeUnknown):
        through.run_schedule(queue)
    assert witness.queue(queue).jobs.ready == 1


def test_when_the_time_is_up_the_outcome_is_unknown_and_the_key_is_told(clients, proxy, witness, queue):
    proxy.plan.extend([CUT] * 100)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown) as unknown:
        clients(proxy.url, deadline_s=1).enqueue(queue, 1)
    assert time.monotonic() - began < 3
    again = witness.enqueue(queue, 1, idempotency_key=unknown.value.idempotency_key)
    assert again.duplicate
    assert witness.queue(queue).jobs.ready == 1


def test_nobody_there_is_certainly_nothing_done(clients, proxy):
    proxy.close()
    with pytest.raises(Unreachable, match="can't be reached"):
        clients(proxy.url, deadline_s=0.5).enqueue("q")


def test_a_question_that_stays_unanswered_has_no_outcome_that_could_be_unknown(clients, proxy, queue):
    proxy.plan.extend([CUT] * 100)
    with pytest.raises(Unreachable, match="was lost"):
        clients(proxy.url, deadline_s=0.5).stats()


def test_one_client_serves_many_threads(shared, witness, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: client.enqueue(queue, n), range(200)))
    assert sorted(job.payload for job in witness.jobs(queue=queue)) == list(range(200))


def test_an_answer_that_never_comes_is_given_up_and_asked_for_again(clients, proxy, witness, queue):
    proxy.plan.append(answer("200 OK", "x" * 10).replace(b"Content-Length: 10", b"Content-Length: 1000"))
    put = clients(proxy.url, attempt_s=0.5).enqueue(queue)
    assert put.duplicate
    assert witness.queue(queue).jobs.ready == 1


def test_not_now_is_tried_again_when_the_server_said_to(through, proxy, witness, queue):
    proxy.refuse.append(answer("503 Service Unavailable", PROBLEM % ("overloaded", 700)))
    assert not through.enqueue(queue).duplicate
    assert proxy.times[1] - proxy.times[0] >= 0.7
    proxy.refuse.append(answer("503 Service Unavailable", '{"code":"overloaded","status":503}', "Retry-After: 1"))
    through.enqueue(queue)
    assert proxy.times[3] - proxy.times[2] >= 1


@pytest.mark.parametrize(("code", "error"), [("draining", Draining), ("overloaded", Overloaded)])
def test_not_now_until_the_time_is_up_is_raised_as_what_it_is(clients, proxy, queue, code, error):
    proxy.refuse.extend([answer("503 Service Unavailable", PROBLEM % (code, 100))] * 100)
    with pytest.raises(error):
        clients(proxy.url, deadline_s=1.5).enqueue(queue)


def test_a_full_queue_is_refused_at_once_or_waited_for(client, witness, queue):
    witness.set_queue(queue, capacity_jobs=0)
    began = time.monotonic()
    with pytest.raises(QueueFull) as full:
        client.enqueue(queue)
    assert (full.value.queue, full.value.capacity_jobs, full.value.jobs) == (queue, 0, 0)
    assert time.monotonic() - began < 1
    with pytest.raises(QueueFull):
        client.enqueue(queue, wait_ms=300)
    assert time.monotonic() - began >= 0.3


def test_the_next_server_is_asked_when_one_is_away_and_then_kept(clients, proxy, shared, queue):
    gone = f"http://127.0.0.1:{free_port()}"
    client = clients([gone, proxy.url])
    for _ in range(3):
        client.enqueue(queue)
    assert len(proxy.requests) == 3
    assert client.nodes.current == proxy.url


def test_a_server_that_drains_is_left_at_once(clients, proxy, shared, queue):
    proxy.refuse.append(answer("503 Service Unavailable", PROBLEM % ("draining", 5_000)))
    client = clients(f"{proxy.url}, {shared.url}")
    began = time.monotonic()
    client.enqueue(queue)
    assert time.monotonic() - began < 2
    assert client.nodes.current == shared.url


def test_a_cut_answer_of_one_server_is_asked_for_at_the_next(clients, proxy, shared, witness, queue):
    proxy.plan.extend([CUT, PASS])
    put = clients([proxy.url, shared.url]).enqueue(queue)
    assert put.duplicate
    assert witness.queue(queue).jobs.ready == 1


def test_every_try_carries_the_token_and_the_same_key(clients, proxy, queue, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", proxy.url)
    monkeypatch.setenv("HOLDFAST_TOKEN", "hf_secret")
    proxy.plan.extend([CUT, CUT])
    clients().enqueue(queue)
    assert all(b"authorization: bearer hf_secret" in request.lower() for request in proxy.requests)
    keys = {
        line for request in proxy.requests for line in request.split(b"\r\n") if line.lower().startswith(b"idempotency-key")
    }
    assert (len(proxy.requests), len(keys)) == (3, 1)
