"""`GET /v1/stream`: what is committed, as server-sent events, to whoever listens and for as long as they do."""

import json
import socket
from contextlib import contextmanager


@contextmanager
def listening(api, **params):
    """The events of a stream that is open: (name, data) one after the other; comments have no name."""
    with api.http.stream("GET", "/v1/stream", params=params) as answer:
        assert answer.status_code == 200
        yield answer, blocks(answer.iter_lines())


def blocks(lines):
    fields = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif fields:
            data = fields.get("data")
            yield fields.get("event", fields.get("")), json.loads(data) if data is not None else None
            fields = {}


def test_every_change_of_a_job_is_told_in_order(api, queue):
    with listening(api, queue=queue) as (answer, events):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert next(events) == ("holdfast", None)
        api.until("holdfast_event_streams", 1)
        job = api.push(queue)
        held = api.take(queue)
        api.ended("extend", held)
        api.ended("release", held)
        api.ended("fail", api.take(queue), retry=False)
        api.post(f"/v1/jobs/{job['id']}/retry")
        api.ended("conclude", api.take(queue))
        api.delete(f"/v1/jobs/{job['id']}")
        told = [next(events) for _ in range(10)]
    assert [name for name, _ in told] == ["job"] * 10
    assert [(event["event"], event["state"]) for _, event in told] == [
        ("enqueued", "ready"),
        ("leased", "leased"),
        ("extended", "leased"),
        ("released", "ready"),
        ("leased", "leased"),
        ("failed", "dead"),
        ("retried", "ready"),
        ("leased", "leased"),
        ("concluded", "concluded"),
        ("deleted", None),
    ]
    assert {(event["id"], event["queue"]) for _, event in told} == {(job["id"], queue)}
    moments = [event["at"] for _, event in told]
    assert moments == sorted(moments)


def test_one_queue_is_listened_to_alone(api, queues):
    with listening(api, queue=queues[0]) as (_, events):
        next(events)
        for name in reversed(queues):
            api.push(name)
        assert next(events)[1]["queue"] == queues[0]


def test_operations_and_batches_are_told_of(api, queue):
    api.set(queue)
    with listening(api) as (_, events):
        next(events)
        batch = api.post("/v1/batches", {"jobs": [], "closed": False}).json()["id"]
        api.post(f"/v1/batches/{batch}/close")
        begun = api.post("/v1/operations", {"do": "retry", "filter": {"queue": queue}, "per_s": 0.01}).json()["id"]
        told = []
        while len(told) < 5:
            name, event = next(events)
            if name in ("operation", "batch"):
                told.append((name, event["event"], event["id"], event["queue"]))
                assert "state" not in event
    assert told == [
        ("batch", "batch.made", batch, ""),
        ("batch", "batch.closed", batch, ""),
        ("batch", "batch.finished", batch, ""),
        ("operation", "operation.started", begun, queue),
        ("operation", "operation.finished", begun, queue),
    ]


def test_without_a_filter_all_queues_are_heard(api, queues):
    with listening(api) as (_, events):
        next(events)
        for name in queues:
            api.push(name)
        assert [next(events)[1]["queue"] for _ in queues] == queues


def test_many_listeners_hear_the_same(api, queue):
    with listening(api, queue=queue) as (_, first), listening(api, queue=queue) as (_, second):
        next(first), next(second)
        api.push(queue)
        assert next(first) == next(second)


def test_a_listener_that_leaves_is_forgotten(api, queue):
    with listening(api, queue=queue) as (_, events):
        next(events)
        api.until("holdfast_event_streams", 1)
    api.until("holdfast_event_streams", 0)


def test_a_listener_that_hangs_up_before_the_answer_is_forgotten_too(api):
    for _ in range(20):
        with socket.create_connection((api.http.base_url.host, api.http.base_url.port)) as caller:
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert caller.recv(1_000)  # the connection is accepted, so the next request and its end are seen together
            caller.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for _ in range(20):
        assert api.get("/healthz").status_code == 200
    api.until("holdfast_event_streams", 0)


def test_a_listener_that_reads_too_slowly_is_told_how_much_it_missed(api, queue):
    jobs = {"jobs": [{"queue": queue}] * 1_000}
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.settimeout(20)
        slow.connect((api.http.base_url.host, api.http.base_url.port))
        slow.sendall(f"GET /v1/stream?queue={queue} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        api.until("holdfast_event_streams", 1)
        for _ in range(60):
            assert api.post("/v1/jobs", jobs).status_code == 201
        told = missed = 0
        with slow.makefile("r") as lines:
            for name, event in blocks(line.rstrip() for line in lines):
                told += name == "job"
                missed += event["missed"] if name == "gap" else 0
                if told + missed >= 60_000:
                    break
    assert told + missed == 60_000
    assert missed > 0
    assert api.counts(queue) == {"ready": 60_000}


def test_there_is_a_bound_on_listeners(api):
    streams = []
    try:
        for _ in range(500):
            streams.append(socket.create_connection((api.http.base_url.host, api.http.base_url.port)))
            streams[-1].sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        api.until("holdfast_event_streams", 500)
        problem = api.refused(api.get("/v1/stream"), 503, "overloaded", says="500 event streams")
        assert problem["retry_after_ms"] == 5_000
    finally:
        for stream in streams:
            stream.close()
    api.until("holdfast_event_streams", 0)


def test_a_stream_in_which_nothing_happens_gives_signs_of_life(api, queue):
    with listening(api, queue=queue) as (_, events):
        assert next(events) == ("holdfast", None)
        assert next(events) == ("still here", None)


def test_a_filter_that_names_no_queue_is_refused(api):
    for name in ("x" * 601, "a b", ""):
        api.refused(api.get("/v1/stream", params={"queue": name}), 400, "invalid_request", field="queue")


def test_a_stream_ends_with_a_word_when_the_server_drains(serve, queue):
    server, api = serve()
    with listening(api) as (_, events):
        next(events)
        api.push(queue)
        assert next(events)[0] == "job"
        server.process.terminate()
        assert [told for told in events if told[1] is not None] == [("end", {})]
    assert server.ended() == 0
