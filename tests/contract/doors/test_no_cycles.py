"""What a request has made is let go of with its answer, also where it is refused: no cycle of objects is left, which would be there until Python
looks for cycles. That it does rarely, and what a stranger could have it keep until then has no bound.
"""

import asyncio
import gc
import types

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.engine.engine import Engine
from holdfast.job.queue import QueuePolicy
from holdfast.server import application, http_server
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.doors.websocket.channel import frame

SCREENS = [
    "",
    "/jobs",
    "/failures",
    "/workers",
    "/interests",
    "/schedules",
    "/enqueue",
    "/audit",
    "/keys",
    "/queues/q",
    "/jobs/1",
    "/jobs/99",
]
TOKEN = "1.1.1." + "0" * 32
UPGRADE = b"GET /v1/channel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def request(method, path, body=b"", headers=b""):
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%b\r\n%b" % (
        method.encode(),
        path.encode(),
        len(body),
        headers,
        body,
    )


SENT = {
    **{f"the screen {screen or '/'}": request("GET", f"/web{screen}") for screen in SCREENS},
    "a form without its token": request("POST", "/web/queues", b"name=x"),
    "a job": request("GET", "/v1/jobs/1"),
    "a job that is waited for": request("GET", "/v1/jobs/1?wait_ms=1"),
    "no job": request("GET", "/v1/jobs/99"),
    "no job, waited for": request("GET", "/v1/jobs/99?wait_ms=100"),
    "no queue": request("GET", "/v1/queues/nowhere"),
    "statistics of no queue": request("GET", "/v1/queues/nowhere/stats"),
    "all queues": request("GET", "/v1/queues"),
    "a lease that is lost": request("POST", f"/v1/leases/{TOKEN}/conclude", b"{}"),
    "no JSON": request("POST", "/v1/queues/q/jobs", b'{"payload":'),
    "half a pair": request("POST", f"/v1/leases/{TOKEN}/fail", rb'{"reason":"\ud800","retry":7}'),
    "a batch with half a pair": request("POST", "/v1/leases/batch", rb'{"fail":[{"token":"\ud800","retry":7}]}'),
    "an unknown field": request("POST", "/v1/queues/q/jobs", b'{"paylod":1}'),
    "an event of many fields": request("POST", "/v1/publish", b'{"data":{%b}}' % b",".join(b'"%d":1' % n for n in range(3_000))),
    "no target": request("GET", "%2f"),
    "no HTTP": b"\0\r\n\r\n",
    "two hosts": request("GET", "/v1/queues", headers=b"Host: localhost\r\n"),
    "offers of other protocols": request("GET", "/v1/queues", headers=b"Connection: Upgrade\r\nUpgrade: h2c\r\n") * 3,
    "a foreign handshake": UPGRADE % (KEY + b"Host: localhost\r\n"),
    "two keys of a handshake": UPGRADE % (KEY * 2),
    "no key of a handshake": UPGRADE % b"",
    "a channel": UPGRADE % KEY + frame(b'{"op":"ping"}') + frame(b"\x03\xe8", opcode=8),
    "a channel with half a pair": UPGRADE % KEY + frame(rb'{"op":"dance","ref":"\ud800"}'),
    "a channel with a frame that is none": UPGRADE % KEY + b"\xff\xff\xff",
}  # fmt: skip


@pytest.fixture
async def server():
    backend = LocalBackend(SqliteStore(None, QueuePolicy()), ManualClock())
    running = asyncio.create_task(backend.committer.run())
    engine = Engine(backend)
    app, _, _ = application(engine, Config())
    yield http_server(app, Config())
    await asyncio.wait_for(backend.stop(), 10)
    running.cancel()


async def answered(server, sent):
    """What comes back on a connection that sends this and no more."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server.connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    writer.write(sent)
    if not sent.startswith(UPGRADE[:20]):
        writer.write_eof()
    data = await asyncio.wait_for(reader.read(1 << 16), 10)
    writer.close()
    listening.close()
    await asyncio.sleep(0.01)  # the server's end of the connection
    return data


def ours(found):
    """Whether something is of the server, and not of what asks it, such as a client of another test whose thread still runs."""
    if isinstance(found, types.FrameType):
        name = found.f_code.co_filename
        return "/src/holdfast/" in name and "/src/holdfast/client/" not in name
    module = str(getattr(found if isinstance(found, types.FunctionType) else type(found), "__module__", ""))
    return module.startswith(("holdfast.", "jinja2.", "websockets.")) and not module.startswith("holdfast.client.")


async def test_no_request_leaves_a_cycle_of_objects_behind(server):
    await answered(server, request("POST", "/v1/queues/q/jobs", b'{"payload":1}'))
    left = {}
    gc.collect()
    gc.freeze()  # of what there is already nothing is looked at, so that looking takes no time
    gc.disable()
    try:
        for name, sent in SENT.items():
            for _ in range(2):  # at the first time something may be made that is kept
                gc.collect()
                gc.set_debug(gc.DEBUG_SAVEALL)
                assert await answered(server, sent), name
                gc.collect()
                gc.set_debug(0)
                found = sorted({type(one).__qualname__ for one in gc.garbage if ours(one)})
                gc.garbage.clear()
            if found:
                left[name] = found
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
    assert left == {}
