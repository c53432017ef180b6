"""A connection that breaks after the request went through: whoever repeats it gets what he would have got, and nothing happens twice."""

import contextlib
import socket
import threading
import zlib
from collections.abc import Iterator

import httpx
import pytest

from tests.system.whole.calls import lease, push
from tests.system.whole.servers import Server


class DroppingProxy:
    """Passes a request on, waits for the whole answer, and hangs up instead of passing it back, as often as it is told to."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.to_drop = 0
        self.dropped: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(caller,), daemon=True).start()

    def _pass(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            while request := _message(caller):
                server.sendall(request)
                answer = _message(server)
                if self.to_drop > 0:
                    self.to_drop -= 1
                    self.dropped.append(answer)
                    return
                caller.sendall(answer)

    def close(self) -> None:
        """Take no more calls."""
        self._listener.close()


def _message(source: socket.socket) -> bytes:
    """One whole HTTP message with a known length; empty when the other side has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = source.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = source.recv(65_536)
        data, body = data + part, body + part
    return data


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DroppingProxy]:
    """A proxy in front of one server for all tests here; each has queues of its own."""
    server = Server(tmp_path_factory.mktemp("lost-answers")).start()
    proxy = DroppingProxy(server)
    yield proxy
    proxy.close()
    server.destroy()


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    return f"q{zlib.crc32(request.node.nodeid.encode()):x}"


@pytest.fixture
def client(proxy: DroppingProxy) -> Iterator[httpx.Client]:
    """Calls through the proxy."""
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=30) as client:
        yield client


def again_and_again(
    proxy: DroppingProxy, client: httpx.Client, path: str, body: dict, **headers: str
) -> tuple[list[bytes], httpx.Response]:
    """Lose the answer three times over, then get it: what was lost, and the last answer."""
    proxy.to_drop, proxy.dropped = 3, []
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            client.post(path, json=body, headers=headers)
    return proxy.dropped, client.post(path, json=body, headers=headers)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def test_a_repeated_push_with_its_key_makes_no_second_job(proxy, client, queue):
    lost, answer = again_and_again(proxy, client, f"/v1/queues/{queue}/jobs", {"payload": 1}, **{"Idempotency-Key": "order-7"})
    assert [status_of(one) for one in lost] == [201, 200, 200]
    assert (answer.status_code, answer.json()["duplicate"]) == (200, True)
    assert [job["id"] for job in lease(client, queue, max=10)] == [answer.json()["id"]]


def test_without_a_key_every_repetition_is_a_job(proxy, client, queue):
    lost, answer = again_and_again(proxy, client, f"/v1/queues/{queue}/jobs", {"payload": 1})
    assert [status_of(one) for one in lost] + [answer.status_code] == [201] * 4
    assert len(lease(client, queue, max=10)) == 4, "so it is the key that makes the difference"


def test_a_repeated_bulk_push_with_its_key_makes_no_second_jobs(proxy, client, queue):
    jobs = {"jobs": [{"queue": queue, "payload": n} for n in range(5)]}
    lost, answer = again_and_again(proxy, client, "/v1/jobs", jobs, **{"Idempotency-Key": "bulk-7"})
    assert [status_of(one) for one in lost] == [201, 200, 200]
    assert [job["id"] for job in lease(client, queue, max=50)] == [job["id"] for job in answer.json()["jobs"]]


def test_the_same_key_with_another_body_is_refused_and_changes_nothing(proxy, client, queue):
    again_and_again(proxy, client, f"/v1/queues/{queue}/jobs", {"payload": 1}, **{"Idempotency-Key": "order-7"})
    other = client.post(f"/v1/queues/{queue}/jobs", json={"payload": 2}, headers={"Idempotency-Key": "order-7"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert [job["payload"] for job in lease(client, queue, max=10)] == [1]


def test_a_repeated_dequeue_with_its_request_id_gets_the_same_jobs(proxy, client, queue):
    for n in range(6):
        push(client, queue, n)
    lost, answer = again_and_again(proxy, client, "/v1/leases", {"queues": [queue], "max": 2, "request_id": "worker-1/1"})
    assert [status_of(one) for one in lost] == [200] * 3
    jobs = answer.json()["jobs"]
    assert [job["payload"] for job in jobs] == [0, 1]
    assert all(job["lease"]["token"].encode() in one for job in jobs for one in lost), "under the very same leases"
    assert [job["attempt"] for job in jobs] == [1, 1]
    assert [job["payload"] for job in lease(client, queue, max=10)] == [2, 3, 4, 5]


def test_a_repeated_conclude_is_200_and_the_job_is_concluded_once(proxy, client, queue):
    push(client, queue, 1)
    (job,) = lease(client, queue)
    path = f"/v1/leases/{job['lease']['token']}/conclude"
    lost, answer = again_and_again(proxy, client, path, {"result": "done", "then": [{"queue": queue + ".next", "payload": 2}]})
    assert [status_of(one) for one in lost] == [200] * 3
    assert (answer.status_code, answer.json()["state"]) == (200, "concluded")
    assert [job["payload"] for job in lease(client, queue + ".next", max=10)] == [2], "its follow-up is there once"


@pytest.mark.parametrize("verb", ["fail", "release"])
def test_a_repeated_fail_or_release_never_ends_a_later_attempt(proxy, client, queue, verb):
    push(client, queue, 1)
    (job,) = lease(client, queue)
    path = f"/v1/leases/{job['lease']['token']}/{verb}"
    again_and_again(proxy, client, path, {"delay_ms": 0})
    (second,) = lease(client, queue, wait_ms=5_000)
    assert second["attempt"] == 2
    client.post(path, json={"delay_ms": 0})
    assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "leased", "the second attempt goes on"
