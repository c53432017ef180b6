"""Two nodes on one PostgreSQL, and two fronts on one file: a key that is revoked at one is refused at the other within 2 s, and
all that it has open there is ended with a clear reason.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from cluster.postgres import server as postgres
from holdfast.cli import key_store
from holdfast.messages.key_commands import RevokeKey
from tests import prefork

PROMISE_S = 2.0
REFUSED = (401, 429)  # the latter where `until_known` tried the key more than 20 times before the node knew it
PATIENCE_S = 20.0
pytestmark = pytest.mark.long(25)


def holdfast(*words, store):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = prefork.run(
        [sys.executable, "-m", "holdfast", *words, "--store", store],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Node:
    """A server with the beanstalkd door."""

    def __init__(self, store, log, *flags):
        command = [
            sys.executable,
            "-m",
            "holdfast",
            "serve",
            "--port",
            "0",
            "--store",
            store,
            "--beanstalk",
            "127.0.0.1:0",
            *flags,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.log = log
        with log.open("wb") as stderr:
            self.process = prefork.start(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
        banner = [self.process.stdout.readline() for _ in range(3)]
        self.url = re.search(r"(http://127\.0\.0\.1:\d+)", banner[0])[1]
        self.tubes = int(re.search(r":(\d+)$", banner[2].strip())[1])

    def call(self, method, path, secret, **options):
        return httpx.request(
            method, self.url + path, headers={"authorization": f"Bearer {secret}"}, timeout=PATIENCE_S, **options
        )

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()
        assert "Traceback" not in self.log.read_text()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


@pytest.fixture(params=["postgresql", "file"])
def place(request, tmp_path):
    """A store, and two addresses where it is served; on the file both are of one server with two fronts."""
    if request.param == "file":
        store = f"sqlite:///{tmp_path}/jobs.db"
    else:
        database = request.getfixturevalue("database")
        database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
        store = database.url()
    root = holdfast("key", "create", "--name", "root", "--can", "admin", store=store)
    if request.param == "file":
        one = other = Node(store, tmp_path / "one.log", "--fronts", "2")
    else:
        one, other = Node(store, tmp_path / "one.log"), Node(store, tmp_path / "other.log")
    yield store, root, one, other
    one.stop()
    if other is not one:
        other.stop()


def until_known(node, secret):
    """A new key is known at once where it was created, and elsewhere within 2 s; wait until every front of a node has loaded
    it.
    """
    end = time.monotonic() + PATIENCE_S
    in_a_row = 0
    while in_a_row < 8:
        assert time.monotonic() < end
        in_a_row = in_a_row + 1 if node.call("GET", "/v1/queues", secret).status_code == 200 else 0


def open_things(node, root, secret, ended):
    """A long poll, a stream, a channel and a reserve, each with a key, at a node; `ended` gets (what, when, how) of each."""

    def poll():
        answer = node.call("POST", "/v1/leases", secret, json={"queues": ["q"], "wait_ms": 30_000})
        ended.append(("poll", time.monotonic(), (answer.status_code, answer.json().get("code"))))

    def stream():
        headers = {"authorization": f"Bearer {secret}"}
        with httpx.stream("GET", f"{node.url}/v1/stream", headers=headers, timeout=PATIENCE_S) as answer:
            lines = iter(answer.iter_lines())
            assert next(lines) == ": holdfast"
            opened.release()
            text = "\n".join(lines)
        ended.append(("stream", time.monotonic(), json.loads(text.partition("event: end\ndata: ")[2].partition("\n")[0])))

    def channel():
        with connect(
            node.url.replace("http", "ws") + "/v1/channel", additional_headers={"authorization": f"Bearer {secret}"}
        ) as line:
            line.send(json.dumps({"op": "start", "queues": ["q"], "credits": 1}))
            assert json.loads(line.recv(PATIENCE_S))["op"] == "started"
            opened.release()
            try:
                while True:
                    line.recv(PATIENCE_S)
            except ConnectionClosed as closed:
                ended.append(("channel", time.monotonic(), (closed.rcvd.code, closed.rcvd.reason)))

    def reserve():
        with socket.create_connection(("127.0.0.1", node.tubes), timeout=PATIENCE_S) as line:
            file = line.makefile("rb")
            line.sendall(b"auth " + secret.encode() + b"\r\nwatch q\r\nreserve\r\n")
            assert file.readline() == b"AUTHENTICATED\r\n"
            assert file.readline() == b"WATCHING 2\r\n"
            opened.release()
            ended.append(("reserve", time.monotonic(), file.read()))

    opened = threading.Semaphore(0)
    pool = ThreadPoolExecutor(4)
    futures = [pool.submit(work) for work in (stream, channel, reserve, poll)]
    for _ in range(3):
        assert opened.acquire(timeout=PATIENCE_S), [future.exception() for future in futures if future.done()]
    end = time.monotonic() + PATIENCE_S
    while (
        sum(
            map(
                float,
                re.findall(r"^holdfast_waiters\{[^}\n]*\} (\S+)", node.call("GET", "/metrics", root).text, re.MULTILINE),
            )
        )
        < 3
    ):
        assert time.monotonic() < end, "poll, channel and reserve wait for jobs"
        time.sleep(0.05)
    return futures


@pytest.mark.parametrize("by", ["the API of another node", "the command line beside the servers"])
def test_a_revoked_key_is_refused_everywhere_within_two_seconds(place, by):
    store, root, one, other = place
    until_known(other, root)
    secret = one.call("POST", "/v1/keys", root, json={"name": "ci", "abilities": ["consume", "read"]}).json()["secret"]
    until_known(other, secret)
    ended: list = []
    futures = open_things(other, root, secret, ended)
    if by.startswith("the API"):
        assert one.call("DELETE", "/v1/keys/ci", root).status_code == 204
    else:
        key_store.ask(store, RevokeKey("ci"))  # as `holdfast key revoke --store` does
    revoked = time.monotonic()
    with httpx.Client(base_url=other.url, headers={"authorization": f"Bearer {secret}"}) as client:
        while (status := client.get("/v1/queues").status_code) not in REFUSED:
            assert time.monotonic() < revoked + PATIENCE_S, status
    refused = time.monotonic()
    for future in futures:
        future.result(PATIENCE_S)
    found = {what: how for what, _, how in ended}
    assert found == {
        "poll": (401, "unauthenticated"),
        "stream": {"code": "unauthenticated"},
        "channel": (4401, "unauthenticated"),
        "reserve": b"UNAUTHENTICATED\r\n",
    }
    late = {what: round(at - revoked, 2) for what, at, _ in ended} | {"request": round(refused - revoked, 2)}
    assert max(late.values()) < PROMISE_S, late
