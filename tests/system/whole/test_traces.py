"""Traces, from the producer through the door, the commit and the lease to the worker, as a collector of OTLP gets them."""

import json
import signal
import socket

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from cluster.postgres import server as postgres
from holdfast.client import Client
from holdfast.client.worker import Worker
from tests.system.whole.calls import metric
from tests.system.whole.conftest import home, serve, serving  # noqa: F401  (fixtures)
from tests.system.whole.otlp import collecting
from tests.system.whole.servers import until

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = GIVEN[:-1] + "0"
TRACE, PARENT = GIVEN[3:35], GIVEN[36:52]
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture(scope="module")
def collector():
    with collecting() as one:
        yield one


@pytest.fixture(scope="module")
def tracer(collector):
    """The tracer of a program that uses OpenTelemetry: its own spans go to the same collector."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    trace.set_tracer_provider(provider)  # once in a process: it is that of the worker's spans
    return provider.get_tracer("shop")


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


@pytest.fixture(params=["sqlite", "two fronts", "one process", "postgres"])
def traced(request, serve, collector):  # noqa: F811
    """A server that records every trace, over a store without jobs."""
    options = {"sqlite": [], "two fronts": ["--fronts", "2"], "one process": ["--fronts", "0"], "postgres": []}[request.param]
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_server")
        database.empty()
        options = ["--store", database.url()]
    collector.forget()
    return serve("--traces", "1", *options, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **QUICK})


def push(client, queue, traceparent=None):
    headers = {} if traceparent is None else {"traceparent": traceparent}
    answer = client.post(f"/v1/queues/{queue}/jobs", json={"payload": 1}, headers=headers)
    assert answer.status_code == 201
    return answer.json()["id"], answer.headers["x-request-id"]


def lease(client, queue):
    (job,) = client.post("/v1/leases", json={"queues": [queue]}).json()["jobs"]
    return job


def test_one_trace_leads_from_the_producer_through_door_commit_and_lease_to_the_worker(traced, tracer, collector):
    seen = []
    worker = Worker("mail", url=traced.url)

    @worker.handler("send")
    def send(job):
        with tracer.start_as_current_span("deliver"):
            seen.append((job.id, job.traceparent))

    with tracer.start_as_current_span("sign-up") as root, Client(traced.url) as client:
        made = client.enqueue("mail", {"to": "a"}, type="send")
    worker.run(until_empty=True)
    of_root = f"{root.get_span_context().trace_id:032x}"
    (deliver,) = collector.wait_for("deliver")
    (door,) = collector.wait_for("POST /v1/queues/{queue}/jobs")
    (given,) = collector.wait_for("lease mail")
    (process,) = collector.wait_for("process mail")
    commit = next(span for span in collector.wait_for("commit") if span.parent == door.id)
    assert {span.trace for span in (deliver, door, given, process, commit)} == {of_root}
    (start,) = collector.named("sign-up")
    assert (door.parent, given.parent, process.parent, deliver.parent) == (start.id, start.id, given.id, process.id)
    assert (door.service, commit.service, given.service, process.service) == ("holdfast", "holdfast", "holdfast", "shop")
    assert door.began <= commit.began <= commit.ended <= door.ended
    assert commit.ended <= given.ended <= process.began + 1_000_000
    assert door.attributes["messaging.message.id"] == given.attributes["messaging.message.id"] == str(made.id)
    assert (given.attributes["holdfast.job.attempt"], process.attributes["holdfast.job.type"]) == (1, "send")
    assert [(number, traceparent[36:52]) for number, traceparent in seen] == [(made.id, given.id)]


def test_a_request_without_a_trace_begins_one_which_its_job_keeps(traced, collector):
    with traced.client() as client:
        number, request_id = push(client, "q")
        (door,) = collector.wait_for("POST /v1/queues/{queue}/jobs", holdfast__request_id=request_id)
        assert door.parent == ""
        assert client.get(f"/v1/jobs/{number}").json()["meta"]["traceparent"][:-2] == f"00-{door.trace}-{door.id}-"
        job = lease(client, "q")
        (given,) = collector.wait_for("lease q")
        assert job["meta"]["traceparent"][:-2] == f"00-{door.trace}-{given.id}-"
        asking = collector.wait_for("POST /v1/leases", http__response__status_code=200)
        assert given.links == [asking[-1].id]


def test_the_sampling_decision_of_the_caller_is_followed_and_what_is_not_recorded_is_passed_on_all_the_same(traced, collector):
    with traced.client() as client:
        push(client, "q", UNSAMPLED)
        push(client, "q", "00-" + "0" * 32 + "-b7ad6b7169203331-01")  # which is none, and is ignored
        assert lease(client, "q")["meta"]["traceparent"] == UNSAMPLED
        (door,) = collector.wait_for("POST /v1/queues/{queue}/jobs")
        assert door.trace != TRACE
        assert all(span.trace != TRACE for span in collector.spans)


def test_a_commit_is_linked_to_the_other_requests_of_its_batch(traced, collector):
    with traced.client() as client:
        answers = client.post(
            "/v1/jobs", json={"jobs": [{"queue": "q", "payload": n} for n in range(2)]}, headers={"traceparent": GIVEN}
        )
        assert answers.status_code == 201
        leases = client.post("/v1/leases", json={"queues": ["q"], "max": 2}).json()["jobs"]
        outcomes = [{"token": job["lease"]["token"]} for job in leases]
        assert client.post("/v1/leases/batch", json={"conclude": outcomes}).status_code == 200
    for route in ("POST /v1/jobs", "POST /v1/leases", "POST /v1/leases/batch"):
        (door,) = collector.wait_for(route)
        (commit,) = [span for span in collector.wait_for("commit", 3) if span.parent == door.id]
        assert commit.trace == door.trace
        assert commit.attributes["holdfast.batch.commands"] >= 1
    of_one_batch = {}
    for span in collector.named("commit"):
        of_one_batch.setdefault(span.attributes["holdfast.batch"], []).append(span)
    assert all(len(span.links) == len(spans) - 1 for spans in of_one_batch.values() for span in spans)


def test_no_span_shows_a_payload_a_token_a_key_or_a_path(traced, collector):
    with traced.client() as client:
        client.headers["authorization"] = "Bearer hf_planted-key"
        client.post("/v1/queues/q/jobs", json={"payload": "planted-payload", "meta": {"who": "planted-meta"}})
        token = lease(client, "q")["lease"]["token"]
        for act in ("extend", "conclude"):
            client.post(
                f"/v1/leases/{token}/{act}", json={"extend_ms": 5000} if act == "extend" else {"result": "planted-result"}
            )
        client.post("/v1/leases/planted-token/conclude", json={})
        client.get("/v1/jobs?note=planted-query")
        client.get("/planted-path")
    collector.wait_for("POST /v1/leases/{token}/conclude", 2)
    exported = b"".join(collector.bodies)
    assert b"http.route" in exported
    assert [word for word in (b"planted", token.encode()) if word in exported] == []


def test_follow_ups_belong_to_the_trace_of_the_job_that_they_follow(traced):
    with traced.client() as client:
        push(client, "chain", GIVEN)
        token = lease(client, "chain")["lease"]["token"]
        ended = client.post(f"/v1/leases/{token}/conclude", json={"then": [{"queue": "r", "payload": 2}]}).json()
        assert client.get(f"/v1/jobs/{ended['then'][0]['id']}").json()["meta"]["traceparent"] == GIVEN


def test_a_long_poll_is_granted_in_the_commit_that_its_trace_shows(traced, collector):
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with traced.client() as client, ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: client.post("/v1/leases", json={"queues": ["late"], "wait_ms": 20_000}, timeout=30))
        with traced.client() as other:
            until(lambda: metric(other.get("/metrics").text, "holdfast_waiters") >= 1, "the poll is parked")
            push(other, "late", GIVEN)
        assert len(waits.result().json()["jobs"]) == 1
    (given,) = collector.wait_for("lease late")
    assert (given.trace, given.parent) == (TRACE, PARENT)
    (asking,) = [span for span in collector.wait_for("POST /v1/leases") if span.id in given.links]
    assert any(span.parent == asking.id for span in collector.wait_for("commit", 2))


def test_without_traces_a_job_hands_its_traceparent_on_and_nothing_is_recorded(serve, collector):  # noqa: F811
    collector.forget()
    server = serve(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **QUICK})
    with server.client() as client:
        push(client, "q", GIVEN)
        push(client, "q")
        assert lease(client, "q")["meta"]["traceparent"] == GIVEN
        assert "meta" not in lease(client, "q")
        assert "holdfast_trace_spans" not in client.get("/metrics").text
    assert collector.spans == []


def test_a_collector_that_is_not_there_costs_a_counter_and_one_line(serve):  # noqa: F811
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
            **QUICK,
        }
        server = serve("--traces", "1", "--log-format", "json", env=env)
        with server.client() as client:
            for _ in range(40):
                push(client, "q")
            until(lambda: metric(client.get("/metrics").text, "holdfast_trace_spans_total", outcome="failed") > 8, "spans fail")
        server.send(signal.SIGTERM)
        assert server.ended() == 0
        told = [json.loads(line) for line in server.err.lines if "traces can't be exported" in line]
        assert [line["level"] for line in told] == ["warning"]
        assert "Traceback" not in server.err.text


def test_a_server_exports_its_last_spans_when_it_ends(serve, collector):  # noqa: F811
    collector.forget()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_SERVICE_NAME": "jobs"}
    server = serve("--traces", "1", env=env)
    with server.client() as client:
        push(client, "q")
    assert collector.spans == []
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    assert {span.service for span in collector.spans} == {"jobs"}
    assert collector.named("commit")


def test_a_log_line_a_span_and_a_job_are_joined_by_trace_and_request(traced, collector):
    with traced.client() as client:
        number, request_id = push(client, "q", GIVEN)
        assert client.get(f"/v1/jobs/{number}").json()["meta"]["traceparent"][3:35] == TRACE
        cancelled = client.post(f"/v1/jobs/{number}/cancel", headers={"traceparent": GIVEN})
        assert cancelled.status_code == 200
    line = json.loads(traced.err.wait_for("job.cancel"))
    assert (line["event"], line["target"], line["trace_id"]) == ("audit", str(number), TRACE)
    (span,) = collector.wait_for("POST /v1/jobs/{job_id}/cancel")
    assert (span.trace, span.attributes["holdfast.request_id"]) == (TRACE, cancelled.headers["x-request-id"])
    (door,) = collector.wait_for("POST /v1/queues/{queue}/jobs", messaging__message__id=str(number))
    assert (door.trace, door.attributes["holdfast.request_id"]) == (TRACE, request_id)


def test_a_variable_without_sense_ends_the_start_in_a_sentence(serving):  # noqa: F811
    server = serving("--traces", "1", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}).launch()
    assert server.ended() == 2
    server.err.wait_for_end()
    assert server.err.lines == [
        "holdfast: OTEL_EXPORTER_OTLP_ENDPOINT must be the URL of a collector of OTLP over HTTP, such as http://localhost:4318."
    ]
    assert not (server.home / "holdfast-data").exists()
