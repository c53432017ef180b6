"""Results of actors, kept with their jobs."""

import itertools
from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq.encoder import PickleEncoder
from dramatiq.results import ResultFailure, ResultMissing, ResultTimeout

from holdfast import Client
from holdfast.dramatiq import HoldfastBroker

WITHIN_MS = 60_000
_numbers = itertools.count()


@pytest.fixture
def broker(server) -> Iterator[HoldfastBroker]:
    broker = HoldfastBroker(server.url, prefix=f"r{next(_numbers)}.", results=True)
    dramatiq.set_broker(broker)
    yield broker
    broker.flush_all()
    broker.close()


@pytest.fixture
def working(broker) -> Iterator[None]:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
    worker.start()
    yield
    worker.stop()


@pytest.mark.usefixtures("working")
def test_a_result_is_that_of_the_job_and_is_found_by_the_message_s_id(broker, witness):
    @dramatiq.actor(store_results=True)
    def echo(value):
        return value

    for value in (3, None, {"a": [1]}):
        sent = echo.send(value)
        later = dramatiq.Message("default", "echo", (), {}, {}, message_id=sent.message_id)  # of a program that noted the id
        assert later.get_result(block=True, timeout=WITHIN_MS) == value
        (receipt,) = witness.receipts(sent.message_id)
        assert witness.job(receipt.id).result == {"value": value}


@pytest.mark.usefixtures("working")
def test_that_of_an_actor_that_does_not_store_it_is_missing(broker, witness):
    @dramatiq.actor
    def silent():
        pass

    sent = silent.send()
    broker.join("default", timeout=WITHIN_MS)
    with pytest.raises(ResultMissing):
        sent.get_result()
    with pytest.raises(ResultTimeout):
        sent.get_result(block=True, timeout=200)
    (receipt,) = witness.receipts(sent.message_id)
    assert witness.wait(receipt.id, 60).result is None


@pytest.mark.usefixtures("working")
def test_after_retries_it_is_that_of_the_last(broker):
    tries = []

    @dramatiq.actor(store_results=True, max_retries=3, min_backoff=50, max_backoff=50)
    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")
        return len(tries)

    assert flaky.send().get_result(block=True, timeout=WITHIN_MS) == 3


@pytest.mark.usefixtures("working")
def test_an_actor_that_has_failed_for_good_says_what_it_raised(broker, witness):
    @dramatiq.actor(store_results=True, max_retries=0)
    def fail():
        raise LookupError("nothing there")

    sent = fail.send()
    with pytest.raises(ResultFailure, match=r"^actor raised LookupError: nothing there$") as failure:
        sent.get_result(block=True, timeout=WITHIN_MS)
    assert (failure.value.orig_exc_type, failure.value.orig_exc_msg) == ("LookupError", "nothing there")
    (receipt,) = witness.receipts(sent.message_id)
    error = witness.job(receipt.id).errors[-1].error
    assert "in fail" in error.traceback
    assert "dramatiq/worker.py" not in error.traceback


def test_that_of_a_cancelled_job_is_a_failure(broker, witness):
    @dramatiq.actor(store_results=True)
    def never():
        pass

    sent = never.send()
    witness.cancel(witness.receipts(sent.message_id)[0].id)
    with pytest.raises(ResultFailure, match="Cancelled"):
        sent.get_result()


def test_a_message_that_is_sent_twice_is_run_twice(broker):
    ran = []

    @dramatiq.actor(store_results=True)
    def note():
        ran.append(1)
        return len(ran)

    message = note.message()
    for _ in range(2):
        broker.enqueue(message)
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=1)
    worker.start()
    broker.join("default", timeout=WITHIN_MS)
    worker.stop()
    assert len(ran) == 2
    assert message.get_result() == 1


@pytest.mark.usefixtures("working")
def test_a_result_that_is_no_json_comes_back_as_it_was(broker):
    encoder = dramatiq.get_encoder()
    dramatiq.set_encoder(PickleEncoder())
    try:
        [middleware] = [each for each in broker.middleware if type(each).__name__ == "Results"]
        middleware.backend.encoder = PickleEncoder()

        @dramatiq.actor(store_results=True)
        def pair():
            return {1, 2}

        assert pair.send().get_result(block=True, timeout=WITHIN_MS) == {1, 2}
    finally:
        dramatiq.set_encoder(encoder)


@pytest.mark.usefixtures("working")
def test_a_result_that_is_too_large_is_said_and_the_work_is_not_done_again(broker, witness):
    ran = []

    @dramatiq.actor(store_results=True)
    def large():
        ran.append(1)
        return "x" * (2 << 20)

    with pytest.raises(ResultFailure, match=r"Dead: The work was done, but the job could not be concluded: .*result"):
        large.send().get_result(block=True, timeout=WITHIN_MS)
    assert ran == [1]


@pytest.mark.usefixtures("working")
def test_a_result_that_can_not_be_encoded_is_said_and_the_work_is_not_done_again(broker):
    ran = []

    @dramatiq.actor(store_results=True)
    def opaque():
        ran.append(1)
        return object()

    with pytest.raises(ResultFailure, match=r"Dead: The work was done, but its result can't be kept: Object of type object"):
        opaque.send().get_result(block=True, timeout=WITHIN_MS)
    assert ran == [1]


def test_that_of_a_message_that_is_deleted_while_it_is_waited_for_is_missing(broker, witness, monkeypatch):
    @dramatiq.actor(store_results=True)
    def never():
        pass

    sent = never.send()
    waits = Client.wait

    def deleted(client, job_id, timeout_s):
        witness.delete(job_id)
        return waits(client, job_id, timeout_s)

    monkeypatch.setattr(Client, "wait", deleted)
    with pytest.raises(ResultTimeout):
        sent.get_result(block=True, timeout=1_000)
    with pytest.raises(ResultMissing):
        sent.get_result()
