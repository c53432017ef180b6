"""Jobs that are held without a worker: outcomes that are told together."""

from collections.abc import Iterator

import pytest

from holdfast import Client
from holdfast.client.held_leases import HeldLeases
from tests.contract.client.clients import PATIENCE_S


@pytest.fixture
def held(shared) -> Iterator[HeldLeases]:
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        held = HeldLeases(client, 60_000)
        yield held
        held.close(PATIENCE_S)


def test_an_outcome_that_is_refused_costs_no_other(held, witness, queue):
    for n in range(3):
        witness.enqueue(queue, n)
    jobs = witness.lease(queue, max=3)
    tags = [held.hold(job) for job in jobs]
    with held._changed:  # so that they are told together
        held.conclude(tags[0], 1)
        held.conclude(tags[1], "x" * (2 << 20))
        held.conclude(tags[2], 3)
    assert held.flush(PATIENCE_S)
    first, refused, last = (witness.job(job.id) for job in jobs)
    assert (first.result, last.result) == (1, 3)
    assert refused.state == "dead"
    assert "The work was done" in refused.errors[-1].reason


def test_progress_that_is_told_right_before_the_end_is_kept(held, witness, queue):
    witness.enqueue(queue)
    [job] = witness.lease(queue)
    tag = held.hold(job)
    with held._changed:
        held.note(tag, {"at": 9})
        held.conclude(tag)
    assert held.flush(PATIENCE_S)
    assert (witness.job(job.id).state, witness.job(job.id).progress) == ("concluded", {"at": 9})


def test_an_outcome_that_can_not_be_sent_costs_no_other(held, witness, queue):
    for n in range(3):
        witness.enqueue(queue, n)
    jobs = witness.lease(queue, max=3)
    tags = [held.hold(job) for job in jobs]
    with held._changed:
        held.conclude(tags[0], 1)
        held.conclude(tags[1], "no \udcff name")
        held.reject(tags[2], "no \udcff name")
    assert held.flush(PATIENCE_S)
    first, unsent, rejected = (witness.job(job.id) for job in jobs)
    assert (first.result, unsent.state, rejected.state) == (1, "dead", "dead")
    assert "The work was done" in unsent.errors[-1].reason
    assert rejected.errors[-1].reason == r"no \udcff name"


def test_what_is_held_after_a_close_is_extended(shared, witness, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        held = HeldLeases(client, 3_000)
        for _ in range(2):
            witness.enqueue(queue)
        [job] = witness.lease(queue)
        held.conclude(held.hold(job))
        held.close(PATIENCE_S)
        assert witness.job(job.id).state == "concluded"
        [job] = witness.lease(queue, lease_ms=3_000)
        tag = held.hold(job)
        later = witness.enqueue(queue, delay_ms=4_500)
        assert [other.id for other in witness.lease(queue, wait_ms=30_000)] == [later.id]  # and not the one that is held
        held.conclude(tag)
        held.close(PATIENCE_S)
        assert witness.job(job.id).state == "concluded"
