"""OpenTelemetry as middleware, by its SDK: what an exporter gets."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from holdfast.tasks import Retry, Snooze, Tasks
from holdfast.tasks.otel import OpenTelemetry

QUICK = Retry(base=0, jitter=0)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def tasks(provider, reader) -> Tasks:
    tasks = Tasks(queue="mail")
    tasks.use(OpenTelemetry(provider, MeterProvider([reader])))
    return tasks


def spans(exporter, kind):
    return [span for span in exporter.get_finished_spans() if span.kind is kind]


def test_each_attempt_has_a_span_that_is_linked_to_that_of_the_enqueue(holdfast, tasks, exporter, provider):
    inside = []

    @tasks.task(retry=QUICK)
    async def send(n: int) -> None:
        inside.append(trace.get_current_span().get_span_context().span_id)
        if len(inside) == 1:
            raise LookupError("no such user")

    with provider.get_tracer("shop").start_as_current_span("request") as request:
        handle = send.options(meta={"tenant": "7"}).enqueue(7)
        asyncio.run(send.aenqueue(8))
    holdfast.drain(tasks.worker(concurrency=1))
    holdfast.advance(1)
    holdfast.drain(tasks.worker())
    first, second = spans(exporter, SpanKind.PRODUCER)
    failed, *done = spans(exporter, SpanKind.CONSUMER)
    assert (first.name, failed.name) == ("send mail", "process mail")
    assert first.parent.span_id == second.parent.span_id == request.get_span_context().span_id
    meta = holdfast.client.job(handle.id).meta
    assert meta == {
        "tenant": "7",
        "traceparent": f"00-{first.context.trace_id:032x}-{first.context.span_id:016x}-{first.context.trace_flags:02x}",
    }
    assert [(link.context.trace_id, link.context.span_id) for link in failed.links] == [
        (first.context.trace_id, first.context.span_id)
    ]
    assert failed.parent is None
    assert failed.context.trace_id != first.context.trace_id
    assert {span.context.span_id for span in (failed, *done)} == set(inside)
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes) == {
        "messaging.system": "holdfast",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(handle.id),
        "holdfast.job.type": "send",
        "holdfast.job.attempt": 1,
        "error.type": "LookupError",
    }
    assert sorted(span.attributes["holdfast.job.attempt"] for span in done) == [1, 2]
    assert {span.status.status_code for span in done} == {StatusCode.UNSET}


def test_jobs_that_are_enqueued_together_have_spans_beside_each_other(holdfast, tasks, exporter):
    @tasks.task
    def send(n: int) -> None: ...

    handles = send.many(send.job(n) for n in range(3))
    producers = spans(exporter, SpanKind.PRODUCER)
    assert [span.parent for span in producers] == [None] * 3
    kept = {holdfast.client.job(handle.id).meta["traceparent"][36:52] for handle in handles}
    assert kept == {f"{span.context.span_id:016x}" for span in producers}


def test_what_is_given_back_has_not_failed_and_an_enqueue_that_is_refused_has(holdfast, tasks, exporter):
    @tasks.task(unique="one")
    def later() -> None:
        raise Snooze(60)

    later.enqueue()
    with pytest.raises(Exception, match="unique"):
        later.enqueue()
    holdfast.drain(tasks.worker())
    good, refused = spans(exporter, SpanKind.PRODUCER)
    (attempt,) = spans(exporter, SpanKind.CONSUMER)
    assert [each.status.status_code for each in (good, refused, attempt)] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert refused.attributes["error.type"] == "holdfast.errors.NotUnique"


def test_jobs_and_attempts_are_counted_and_measured(holdfast, tasks, reader):
    @tasks.task(max_attempts=1)
    def send(n: int) -> None:
        if n == 0:
            raise LookupError

    @tasks.task(batch=10)
    def insert(rows: list[int]) -> None: ...

    send.many(send.job(n) for n in range(3))
    insert.enqueue(1)
    holdfast.drain(tasks.worker())
    found = {
        metric.name: {
            (point.attributes["holdfast.job.type"], point.attributes.get("error.type", "")): getattr(
                point, "value", getattr(point, "count", None)
            )
            for point in metric.data.data_points
        }
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    }
    assert found == {
        "messaging.client.sent.messages": {("send", ""): 3, ("insert", ""): 1},
        "messaging.client.operation.duration": {("send", ""): 1, ("insert", ""): 1},
        "messaging.client.consumed.messages": {("send", ""): 2, ("send", "LookupError"): 1, ("insert", ""): 1},
        "messaging.process.duration": {("send", ""): 2, ("send", "LookupError"): 1, ("insert", ""): 1},
    }


def test_a_worker_makes_no_second_span_around_a_handler(holdfast, tasks, monkeypatch):
    seen = []
    monkeypatch.setattr("holdfast.client.worker.session.traces.processing", seen.append)

    @tasks.task
    def send() -> None: ...

    @tasks.task(batch=2)
    def insert(rows: list[int]) -> None: ...

    send.enqueue()
    insert.enqueue(1)
    assert holdfast.drain(tasks.worker()) == {"concluded": 2}
    assert not seen


def test_a_job_whose_meta_is_full_is_enqueued_without_its_trace(holdfast, tasks):
    @tasks.task(meta={"a": "x" * 4_090})
    def send() -> None: ...

    assert list(holdfast.client.job(send.enqueue().id).meta) == ["a"]


def test_only_an_object_with_hooks_is_middleware(tasks):
    for wrong in (object(), OpenTelemetry):
        with pytest.raises(ValueError, match="is no middleware: an object with around_attempt"):
            tasks.use(wrong)
