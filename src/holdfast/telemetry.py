"""Traces by OpenTelemetry, exported by OTLP: this file is imported only if they are wanted (`--traces`).

    producer's span ──┬─▶ request at the door ─▶ commit        (linked to the other requests of its batch)
      (traceparent)   └─▶ lease ─▶ the worker's span           (the job keeps the traceparent; the lease's goes to the worker)

The front makes all of them. The keeper only says when a commit began and ended, with its answers, so that nothing runs beside the
thread that writes. Spans wait in a bounded queue and are exported by a thread; what has no room there is dropped and counted, so that
a collector that can't be reached holds nothing up.
"""

import asyncio
import logging
import os
import random
import threading
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from holdfast import __version__, trace_context
from holdfast import messaging_attributes as names
from holdfast.committer.local_backend import LocalBackend
from holdfast.http.app import App
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.job.job import Job
from holdfast.keeper.link import KeeperLink
from holdfast.limits import SPAN_LINKS, SPANS_LAST_S, SPANS_WAITING
from holdfast.logs import structlog
from holdfast.messages.answers import Granted
from holdfast.messages.backend import FutureSink, Gathered
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.events import Commit
from holdfast.messages.frame import A, Answer, Command, Refused
from holdfast.messages.frame import Request as Asked
from holdfast.trace_context import HEADER, SPAN, traceparent_of

B = TypeVar("B", bound=LocalBackend)
log = structlog.get_logger(__name__)
_SERVER_ERROR = 500
_NOT_SENT = "traces can't be exported; spans are dropped and counted until that is mended"


class CountingExporter(SpanExporter):
    """Exports through another, and counts. One thread calls it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self.exported = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send these; waits and tries again as the exporter does."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001  (whatever it is, these spans were not sent)
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
            self._failing = False
        else:
            self.failed += len(spans)
            if not self._failing:
                self._failing = True
                log.warning(_NOT_SENT, endpoint=str(getattr(self._exporter, "_endpoint", "")))
        return result

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()


class BoundedProcessor(BatchSpanProcessor):
    """Hands ended spans to the thread that exports them, at most `most` at a time."""

    def __init__(self, exporter: CountingExporter, most: int = SPANS_WAITING) -> None:
        super().__init__(exporter, max_queue_size=2 * most)  # so that it is never full: it would log each span that it drops
        self._counts = exporter
        self._most = most
        self._taken = 0
        self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue it, or drop it; never wait."""
        if self._taken - self._counts.exported - self._counts.failed >= self._most:
            self.dropped += 1
            return
        self._taken += 1
        super().on_end(span)


class Telemetry:
    """The spans of one front process. `ratio`: the share of traces that begin here and are recorded; of others their parent decides."""

    def __init__(self, ratio: float, number: int = 0, exporter: SpanExporter | None = None) -> None:
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "holdfast"}
        resource = Resource.create({**named, "service.version": __version__, "holdfast.front": number})
        self._ratio = None if os.environ.get("OTEL_TRACES_SAMPLER") else ratio
        sampler = None if self._ratio is None else ParentBased(ALWAYS_ON)  # what reaches it was chosen by `_leaves_out`
        self.exporter = CountingExporter(exporter or OTLPSpanExporter())
        self.processor = BoundedProcessor(self.exporter)
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False, span_limits=SpanLimits(max_links=SPAN_LINKS))
        self._provider.add_span_processor(self.processor)
        self._tracer = self._provider.get_tracer("holdfast", __version__)

    def counts(self) -> dict[str, int]:
        """Spans by what became of them."""
        return {"exported": self.exporter.exported, "failed": self.exporter.failed, "dropped": self.processor.dropped}

    def app(self) -> type[App]:
        """What serves requests."""
        return type("TracedApp", (TracedApp,), {"telemetry": self})

    def keeper_link(self, on_lost: Callable[[], None]) -> KeeperLink:
        """The keeper, which says when it committed."""
        return TracedLink(self, on_lost)

    def local_backend(self, kind: type[B], *given: Any) -> B:
        """The same where the committer runs in this process; `given` is what a backend of this kind is made with."""
        traced: type[B] = type(f"Traced{kind.__name__}", (Traced, kind), {})
        backend, commits = traced(*given), Commits(self)
        backend.trace(commits, _Sink(commits))  # type: ignore[attr-defined]  # of `Traced`
        backend.committer.couriers.append(_Courier(commits))
        backend.committer.timed = 1
        return backend

    def stop(self) -> None:
        """Export what waits, for at most `SPANS_LAST_S`."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(SPANS_LAST_S)

    def begin(self, request: Request) -> Span | None:
        """The span of a request, a child of its caller's; None if it is not recorded."""
        traceparent = traceparent_of(request.headers)
        if self._leaves_out(traceparent):
            return None
        route = request.route.path if request.route is not None else ""
        span = self._tracer.start_span(
            f"{request.method} {route}", Context() if traceparent is None else _remote(traceparent), SpanKind.SERVER
        )
        if not span.is_recording():
            return None
        # Neither path nor query: the path of a lease shows its token, with which anybody can conclude it.
        span.set_attributes({"http.request.method": request.method, "http.route": route})
        if traceparent is None:
            request.headers[HEADER] = _traceparent(span).encode()  # for the jobs that it enqueues
        return span

    def _leaves_out(self, traceparent: str | None) -> bool:
        """Whether this is surely not recorded, which takes a twentieth of the time in which the SDK says so."""
        if self._ratio is None:
            return False
        if traceparent is None:
            return random.random() >= self._ratio  # noqa: S311  (it chooses what is looked at; it guards nothing)
        return not int(traceparent[-1], 16) & TraceFlags.SAMPLED

    @staticmethod
    def end(span: Span, request: Request, reply: Reply | None, request_id: bytes) -> None:
        """It is answered, or was given up."""
        span.set_attribute("holdfast.request_id", request_id.decode("latin-1"))
        if reply is not None:
            span.set_attribute("http.response.status_code", reply.status)
            if reply.status >= _SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
            for name, value in reply.extra:
                if name == b"location" and request.method == "POST":
                    span.set_attribute(names.MESSAGE_ID, value.decode("latin-1").rpartition("/")[2])
        elif request.left:
            span.set_status(Status(StatusCode.ERROR, "the caller has disconnected"))
        span.end()

    def committed(self, spans: list[Span], commit: Commit) -> None:
        """The commit of a batch, in the trace of each of its requests that is recorded."""
        contexts = [span.get_span_context() for span in spans]
        attributes = {"holdfast.batch": commit.number, "holdfast.batch.commands": commit.commands}
        for place, span in enumerate(spans):
            others = [*contexts[:place], *contexts[place + 1 :]][:SPAN_LINKS]
            made = self._tracer.start_span(
                "commit",
                set_span_in_context(span),
                SpanKind.INTERNAL,
                attributes,
                [Link(one) for one in others],
                commit.began_ns,
            )
            made.end(commit.ended_ns)

    def leased(self, job: Job, traceparent: str) -> str:
        """The lease of a job, in the trace in which it was enqueued; linked to the request of its worker, if that is recorded, too."""
        if self._leaves_out(traceparent):
            return traceparent
        asking, lease = SPAN.get(), job.lease
        span = self._tracer.start_span(
            f"lease {job.queue}",
            _remote(traceparent),
            SpanKind.CONSUMER,
            {
                names.SYSTEM: names.HOLDFAST,
                names.OPERATION_TYPE: "receive",
                names.DESTINATION: job.queue,
                names.MESSAGE_ID: str(job.id),
                names.JOB_ATTEMPT: job.attempt,
                names.WORKER: "" if lease is None else lease.worker,
                names.WAITED_MS: (job.leased_at or 0) - job.ready_at,
            },
            None if asking is None else [Link(asking.get_span_context())],
            None if job.leased_at is None else job.leased_at * 1_000_000,
        )
        if not span.is_recording():
            return traceparent
        span.end()
        return _traceparent(span)


class TracedApp(App):
    """Records each request whose handler runs."""

    telemetry: Telemetry

    async def serve(self, request: Request) -> Reply:
        """Answer it within its span."""
        span = self.telemetry.begin(request)
        if span is None:
            return await super().serve(request)
        request_id = request.headers[b"x-request-id"] = self.request_id(request.headers)
        reply = None
        try:
            reply = await _within(span, super().serve(request))
        finally:
            self.telemetry.end(span, request, reply, request_id)
        return reply


@types.coroutine
def _within(span: Span, work: Coroutine[Any, Any, Reply]) -> Generator[Any, Any, Reply]:
    """Have the span be current while this runs, and only then: callbacks of many requests share a context."""
    error: BaseException | None = None
    while True:
        token = SPAN.set(span)
        try:
            awaited = work.send(None) if error is None else work.throw(error)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            SPAN.reset(token)
        error = None
        try:
            yield awaited
        except BaseException as raised:  # noqa: BLE001  (it is the work's)
            error = raised


class _Sink(FutureSink):
    """Delivers answers, and takes note whose commit it was."""

    def __init__(self, commits: "Commits") -> None:
        self._commits = commits

    def deliver(self, tag: object, result: Answer) -> None:
        """Resolve the future."""
        self._commits.answered(tag)
        super().deliver(tag, result)


class _Gathered(Gathered):
    """The same for the answers to many commands."""

    def __init__(self, commits: "Commits", future: "asyncio.Future[list[Any]]", count: int) -> None:
        super().__init__(future, count)
        self._commits = commits
        self._all = future

    def deliver(self, tag: object, result: Answer) -> None:
        """Accept one; the last one's commit is that of all."""
        super().deliver(tag, result)
        if self.is_complete:
            self._commits.answered(self._all)


class Commits:
    """Which commands of recorded requests are under way, and which of them the commit has brought whose answers come just now."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._asked: dict[object, Span] = {}
        self._answered: list[Span] = []

    def asked(self, future: object) -> None:
        """A command; the request whose code runs has submitted it."""
        span: Any = SPAN.get()
        if span is not None:
            self._asked[future] = span

    def answered(self, future: object) -> None:
        """Its answer has come."""
        span = self._asked.pop(future, None)
        if span is not None:
            self._answered.append(span)

    def end(self, commit: Commit | None) -> None:
        """These were all of a commit; None: of none."""
        if self._answered:
            spans, self._answered = self._answered, []
            if commit is not None:
                self._telemetry.committed(list(dict.fromkeys(spans)), commit)


class _Courier:
    """Learns of each commit, where the committer is in this process."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._commit: Commit | None = None

    def hold(self, commit: Commit | None) -> None:
        """Its answers follow."""
        self._commit = commit

    def send(self) -> None:
        """These were all."""
        self._commits.end(self._commit)


class Traced:
    """What makes a backend tell when the commands of recorded requests were committed; stands before it among the bases."""

    _commits: Commits

    def trace(self, commits: Commits, sink: FutureSink) -> None:
        """From now on."""
        self._commits, self._sink = commits, sink

    def submit(self, request: Asked[A]) -> "asyncio.Future[A | Refused]":
        """Ask; see `Backend`."""
        future: asyncio.Future[A | Refused] = super().submit(request)  # type: ignore[misc]  # of the backend
        if isinstance(request, Command):
            self._commits.asked(future)
        return future

    def submit_all(self, requests: Sequence[Asked[A]], weight: int) -> "asyncio.Future[list[A | Refused]]":
        """Ask many; see `Backend`."""
        future: asyncio.Future[list[A | Refused]] = super().submit_all(requests, weight)  # type: ignore[misc]
        if requests:
            self._commits.asked(future)
        return future

    def await_jobs(self, command: LeaseJobs) -> "asyncio.Future[Granted | Refused]":
        """Grant it something as soon as something comes; see `Backend`."""
        future: asyncio.Future[Granted | Refused] = super().await_jobs(command)  # type: ignore[misc]
        self._commits.asked(future)
        return future

    def _gathered(self, future: "asyncio.Future[list[Any]]", count: int) -> Gathered:
        return _Gathered(self._commits, future, count)


class TracedLink(Traced, KeeperLink):
    """The keeper, which says when it committed."""

    def __init__(self, telemetry: Telemetry, on_lost: Callable[[], None]) -> None:
        super().__init__(on_lost)
        commits = Commits(telemetry)
        self.trace(commits, _Sink(commits))
        self._outgoing.commits = True

    def _take(self, answered: Any) -> None:
        super()._take(answered)
        self._commits.end(answered.commit)


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _remote(traceparent: str) -> Context:
    flags = TraceFlags(int(traceparent[53:], 16))
    context = SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())


def start(ratio: float, number: int) -> Telemetry:
    """Record the traces of this process from now on."""
    logging.getLogger("opentelemetry").setLevel(
        logging.CRITICAL
    )  # `CountingExporter` says once what it would say of each batch
    telemetry = Telemetry(ratio, number)
    trace_context.leased = telemetry.leased
    return telemetry
