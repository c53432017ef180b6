"""An application enqueues inside its own transaction, and a worker waits at the node: how soon the worker has the job once COMMIT has returned."""

from __future__ import annotations

import http.client
import time
from array import array
from contextlib import ExitStack

import msgspec

from bench.server import QUEUE, Holdfast

WAIT_MS = 50_000
PARKED = b'holdfast_waiters{front="0"} 1.0'
ENQUEUE = {"enqueue": b"SELECT holdfast.enqueue(%s, %s::text)", "enqueue_exact": b"SELECT holdfast.enqueue_exact(%s, %s::text)"}


def pickups(subject: Holdfast, count: int, payload_bytes: int, function: str = "enqueue", idle: int = 0) -> array[float]:
    """So many jobs, one after the other; for each the seconds from the return of COMMIT to the answer that has it. `idle`: so many other transactions
    have enqueued to the same queue, and wait all the time.
    """
    assert subject.database is not None, "an application shares the node's database"
    payload, took = msgspec.json.encode("x" * payload_bytes).decode(), array("d")
    with ExitStack() as stack:
        application = stack.enter_context(subject.database.session())
        for _ in range(idle):
            other = stack.enter_context(subject.database.session())
            other.autocommit = False
            other.execute(ENQUEUE[function], (QUEUE, payload))
            stack.callback(other.rollback)
        for _ in range(count):
            poll = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=60)
            poll.request("POST", "/v1/leases", msgspec.json.encode({"queues": [QUEUE], "wait_ms": WAIT_MS}))
            while PARKED not in subject.request("GET", "/metrics")[1]:
                pass  # it is on its way
            application.execute(ENQUEUE[function], (QUEUE, payload))  # which commits by itself
            committed = time.perf_counter()
            said = poll.getresponse().read()
            took.append(time.perf_counter() - committed)
            poll.close()
            (job,) = msgspec.json.decode(said)["jobs"]
            subject.ask("POST", f"/v1/leases/{job['lease']['token']}/conclude", {})
    return took
