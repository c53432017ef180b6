"""Sentry as middleware, by its SDK: which envelopes its transport gets."""

import asyncio

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from holdfast.client import NewJob
from holdfast.tasks import DoNotRetry, Retry, RetryAfter, Snooze, Tasks
from holdfast.tasks.sentry import Sentry
from holdfast.tasks.task import not_held


class Kept(Transport):
    """A transport that keeps what it is given."""

    def __init__(self, options=None) -> None:
        super().__init__(options)
        self.envelopes = []

    def capture_envelope(self, envelope) -> None:
        self.envelopes.append(envelope)

    def of(self, kind):
        return [item.payload.json for each in self.envelopes for item in each.items if item.type == kind]


@pytest.fixture
def kept(monkeypatch):
    transport = Kept({"dsn": None})
    with sentry_sdk.isolation_scope(), sentry_sdk.new_scope():
        before = sentry_sdk.get_global_scope().client
        sentry_sdk.init("https://key@sentry.invalid/1", transport=transport, traces_sample_rate=1.0, default_integrations=False)
        yield transport
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(before)


def tasks_with(**options) -> Tasks:
    tasks = Tasks(queue="mail")
    tasks.use(Sentry(**options))
    return tasks


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_failed_attempt_is_an_event_with_its_job_and_its_trace(holdfast, kept, coroutine):
    tasks = tasks_with()

    def send(n: int) -> None:
        sentry_sdk.add_breadcrumb(message=f"user {n}")
        if n == 0:
            raise LookupError("no such user")

    async def asend(n: int) -> None:
        await asyncio.sleep(0)
        send(n)

    task = tasks.task(name="send", retry=Retry(base=60))(asend if coroutine else send)
    with sentry_sdk.start_transaction(op="http.server", name="request") as request:
        bad = task.enqueue(0)
        asyncio.run(task.aenqueue(1))
    assert holdfast.drain(tasks.worker()) == {"failed": 1, "concluded": 1}
    (event,) = kept.of("event")
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"], raised["mechanism"]["type"]) == ("LookupError", "no such user", "holdfast")
    assert raised["stacktrace"]["frames"][-1]["function"] == "send"
    assert event["contexts"]["holdfast"] == {"job": bad.id, "queue": "mail", "type": "send", "attempt": 1}
    assert event["tags"]["queue"] == "mail"
    assert [each["message"] for each in event["breadcrumbs"]["values"]] == ["user 0"]
    assert event["contexts"]["trace"]["trace_id"] == request.trace_id
    of_request, *attempts = kept.of("transaction")
    assert [(span["op"], span["description"]) for span in of_request["spans"]] == [("queue.publish", "mail")] * 2
    assert {each["transaction"] for each in attempts} == {"send"}
    published = {span["span_id"] for span in of_request["spans"]}
    assert {each["contexts"]["trace"]["parent_span_id"] for each in attempts} == published
    about = attempts[0]["contexts"]["trace"]
    assert (about["op"], about["data"]["messaging.destination.name"]) == ("queue.process", "mail")
    assert {each["contexts"]["trace"]["status"] for each in attempts} == {"ok", "internal_error"}


def test_what_is_tried_again_by_intent_is_no_event(holdfast, kept):
    tasks = tasks_with()

    @tasks.task
    def work(how: str) -> None:
        raise {"later": RetryAfter(60), "not now": Snooze(60), "never": DoNotRetry("no use")}[how]

    work.many(work.job(how) for how in ("later", "not now", "never"))
    holdfast.drain(tasks.worker())
    (event,) = kept.of("event")
    assert event["exception"]["values"][0]["type"] == "DoNotRetry"


def test_only_the_last_attempt_is_an_event_where_that_is_wanted(holdfast, kept):
    tasks = tasks_with(every_attempt=False)

    @tasks.task(max_attempts=2, retry=Retry(base=1, jitter=0))
    def work() -> None:
        raise LookupError

    work.enqueue()
    holdfast.drain(tasks.worker())
    assert kept.of("event") == []
    holdfast.advance(1)
    holdfast.drain(tasks.worker())
    (event,) = kept.of("event")
    assert event["contexts"]["holdfast"]["attempt"] == 2


def test_jobs_that_are_enqueued_together_are_one_span(holdfast, kept):
    tasks = tasks_with()

    @tasks.task
    def work(n: int) -> None: ...

    with sentry_sdk.start_transaction(name="request"):
        handles = work.many(work.job(n) for n in range(3))
    (request,) = kept.of("transaction")
    (span,) = request["spans"]
    assert {holdfast.client.job(each.id).meta["sentry-trace"].split("-")[1] for each in handles} == {span["span_id"]}


@pytest.mark.parametrize(("crashes", "reported"), [(0, False), (1, True)])
def test_an_attempt_after_crashes_may_be_the_last(crashes, reported):
    held = not_held(NewJob(queue="mail", type="send"))
    held.job.max_attempts, held.job.crashes = 2, crashes
    assert Sentry(every_attempt=False)._is_reported(held, LookupError()) is reported
