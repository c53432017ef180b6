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
