"""`python -m bench.clients`: what a call of the Python clients costs its caller, beside a bare socket that sends the same requests.

The bare caller sends prepared bytes and waits for as many as an answer has: on a blocking socket beside `Client`, and on a transport of the
same event loop, with one future a call, beside `AsyncClient`. Both in turn, in short rounds, so that a noisy spell of the machine touches
both; `over` is the median of the differences of their rounds. CPU time is that of the caller's process, with what the kernel does for it.
"""

import asyncio
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import msgspec
import uvloop

from bench.figures import Latency
from bench.files import raise_files_limit
from bench.server import QUEUE, Holdfast
from bench.wire import HEAD_END, HttpReader, body_length
from holdfast import AsyncClient, Client

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
CALLERS = (1, 16, 64, 256)
PAYLOAD = {"to": "ada@example.org", "n": 1}
KEY = 10**31  # of the bare caller, as long as one of the clients
Caller = Callable[[], Awaitable[object]]


class Round(msgspec.Struct, frozen=True):
    """One round of one kind of caller."""

    calls: int
    seconds: float
    cpu_us: float
    latency: Latency


class Bare(asyncio.Protocol):
    """One connection that sends prepared bytes, and gives a future the answer."""

    def __init__(self) -> None:
        self._reader = HttpReader()
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def ask(self) -> "asyncio.Future[int]":
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request())
        return self._answered

    def data_received(self, data: bytes) -> None:
        for status, _ in self._reader.feed(data):
            assert self._answered is not None
            assert status == 201, status
            self._answered.set_result(status)


def request() -> bytes:
    """A job to enqueue, as the clients send it, with an idempotency key of its own."""
    global KEY  # noqa: PLW0603
    KEY += 1
    return b"%b%d\r\n\r\n%b" % (HEAD, KEY, BODY)


BODY = msgspec.json.encode({"payload": PAYLOAD})
HEAD = (
    f"POST /v1/queues/{QUEUE}/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nIdempotency-Key: "
).encode()


async def _in_turn(callers: list[Caller], seconds: float) -> Round:
    """All callers, each one call after the other."""
    took: list[float] = []

    async def go(call: Caller, until: float) -> None:
        while not took or time.perf_counter() < until:
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(call() for call in callers))  # connections are open before it begins
    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(go(call, begin + seconds) for call in callers))
    return _round(took, time.perf_counter() - begin, time.process_time() - cpu)


def _in_threads(callers: list[Callable[[], object]], seconds: float) -> Round:
    """The same with a thread for each caller."""
    took: list[float] = []
    ready = threading.Barrier(len(callers) + 1)

    def go(call: Callable[[], object]) -> None:
        call()
        ready.wait()
        until = time.perf_counter() + seconds
        while not took or time.perf_counter() < until:
            began = time.perf_counter()
            call()
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=go, args=(call,)) for call in callers]
    for thread in threads:
        thread.start()
    ready.wait()
    begin, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    return _round(took, time.perf_counter() - begin, time.process_time() - cpu)


def _round(took: list[float], seconds: float, cpu_s: float) -> Round:
    latency = Latency.of(took)
    assert latency is not None
    return Round(len(took), seconds, cpu_s * 1e6 / len(took), latency)


def blocking(server: Holdfast, callers: int, seconds: float, rounds: int) -> list[tuple[Round, Round]]:
    """`Client` in threads, and blocking sockets."""

    def ask(sock: socket.socket) -> None:
        sock.sendall(request())
        came = sock.recv(65_536)
        while (end := came.find(HEAD_END)) < 0 or len(came) < end + 4 + body_length(came[:end], 201):
            came += sock.recv(65_536)
        assert came[9:12] == b"201", came

    with Client(f"http://127.0.0.1:{server.port}", token="") as client:
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(callers)]
        for sock in sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return [
                (
                    _in_threads([lambda sock=sock: ask(sock) for sock in sockets], seconds),  # type: ignore[misc]
                    _in_threads([lambda: client.enqueue(QUEUE, PAYLOAD)] * callers, seconds),
                )
                for _ in range(rounds)
            ]
        finally:
            for sock in sockets:
                sock.close()


async def on_a_loop(server: Holdfast, callers: int, seconds: float, rounds: int) -> list[tuple[Round, Round]]:
    """`AsyncClient`, and bare transports of the same loop."""
    loop = asyncio.get_running_loop()
    bare = [(await loop.create_connection(Bare, "127.0.0.1", server.port))[1] for _ in range(callers)]
    try:
        async with AsyncClient(f"http://127.0.0.1:{server.port}", token="") as client:
            return [
                (
                    await _in_turn([one.ask for one in bare], seconds),
                    await _in_turn([lambda: client.enqueue(QUEUE, PAYLOAD)] * callers, seconds),
                )
                for _ in range(rounds)
            ]
    finally:
        for one in bare:
            one.transport.abort()


def said(name: str, callers: int, found: list[tuple[Round, Round]]) -> str:
    """A line of the table."""
    bare, client = zip(*found, strict=True)
    over = statistics.median(two.cpu_us - one.cpu_us for one, two in found)

    def mid(rounds: tuple[Round, ...], what: Callable[[Round], float]) -> float:
        return statistics.median(map(what, rounds))

    return (
        f"{name:20} {callers:7} {mid(bare, lambda r: r.cpu_us):9.0f} {mid(client, lambda r: r.cpu_us):9.0f} {over:6.0f}"
        f" {mid(bare, lambda r: r.calls / r.seconds):9,.0f} {mid(client, lambda r: r.calls / r.seconds):9,.0f}"
        f" {mid(client, lambda r: r.latency.p50_ms):8.2f} {mid(client, lambda r: r.latency.p99_ms):8.2f}"
    )


@click.command(context_settings={"show_default": True})
@click.option("--seconds", type=float, default=0.5, help="How long a round lasts.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="How many rounds of each caller.")
@click.option("--callers", type=click.IntRange(1), multiple=True, default=CALLERS, help="How many at once; repeatable.")
@click.option(
    "--only", type=click.Choice(["Client", *LOOPS]), multiple=True, default=["Client", *LOOPS], help="Only these; repeatable."
)
@click.option("--disk", type=click.Path(path_type=Path, exists=True), default=Path("/var/tmp"), help="Where the store goes.")
def main(seconds: float, rounds: int, callers: tuple[int, ...], only: tuple[str, ...], disk: Path) -> None:
    """Measure the CPU time of a call of the Python clients."""
    raise_files_limit()
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=disk))
    try:
        server = Holdfast(directory, "sqlite", 1)
        try:
            click.echo("                     callers   bare µs client µs   over    bare/s  client/s   p50 ms   p99 ms")
            for kind in only:
                for many in callers:
                    if kind == "Client":
                        found = blocking(server, many, seconds, rounds)
                    else:
                        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
                            found = runner.run(on_a_loop(server, many, seconds, rounds))
                    click.echo(said(kind if kind == "Client" else f"AsyncClient {kind}", many, found))
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
