"""Bad inputs by name: each asks a server for as much work as it can with one kind of request. Whoever finds another one adds it here.

An input is a coroutine that is given a `Caller`. What it is answered does not matter, as long as it is answered; what matters is that the server
goes on answering others (`test_busy.py`).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

Bad = Callable[["Caller"], Awaitable[None]]
CORPUS: dict[str, Bad] = {}
LARGEST: set[str] = set()
"""Those that send the largest body that is allowed."""
OPTIONS: dict[str, tuple[str, ...]] = {}
"""With what a server is started for them, beside a door for beanstalkd's protocol."""


class Caller:
    """Sends requests to a server, any number at once. `tubes` is the port on which it speaks beanstalkd's protocol."""

    def __init__(self, port: int, tubes: int = 0, at_once: int = 300) -> None:
        self._port = port
        self._tubes = tubes
        self.writers: list[asyncio.StreamWriter] = []
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._at_once = asyncio.Semaphore(at_once)

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the document that came."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._at_once:
            reader, writer = await self._connection()
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(answer.split("content-length: ")[1].split("\r\n")[0]) if "content-length: " in answer else 0
            text = await reader.readexactly(length)
            if "connection: close" in answer:
                writer.close()
            else:
                self._open.append((reader, writer))
        return int(answer.split(" ", 2)[1]), json.loads(text) if text[:1] == b"{" and len(text) < 1 << 20 else text

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that is open and idle, or a new one."""
        while self._open:
            reader, writer = self._open.pop()
            if not reader.at_eof():  # else the server has closed it meanwhile
                return reader, writer
        return await self._connect()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=64 << 20)
        self.writers.append(writer)
        return reader, writer

    async def all(self, *requests: tuple[Any, ...]) -> list[tuple[int, Any]]:
        """Many at once."""
        return await asyncio.gather(*[self(*request) for request in requests])

    async def listen(self, path: str) -> asyncio.StreamReader:
        """Begin a stream of events."""
        reader, writer = await self._connect()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"\n\n")
        return reader

    async def tube(self, command: bytes) -> bytes:
        """The answer to one command of beanstalkd's protocol, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._tubes, limit=64 << 20)
        self.writers.append(writer)
        writer.write(command + b"\r\n")
        line = await reader.readuntil(b"\r\n")
        return await reader.readexactly(int(line.split()[1]) + 2) if line.startswith(b"OK ") else line

    async def channel(self, *messages: bytes) -> None:
        """Send these on a live channel of their own, one after the other, until each is answered or the channel is closed."""
        async with connect(f"ws://127.0.0.1:{self._port}/v1/channel", max_size=None, compression=None, proxy=None) as channel:
            with suppress(ConnectionClosed):
                for message in messages:
                    await channel.send(message.decode())
                    await channel.recv()

    def close(self) -> None:
        """Hang up."""
        for writer in self.writers:
            writer.close()


def bad(of: Bad) -> Bad:
    """Take an input into the corpus, by its name."""
    CORPUS[of.__name__] = of
    return of


def nested(depth: int, alternate: bool = False) -> str:
    """Arrays in arrays."""
    value = "1"
    for level in range(depth):
        value = f"[[],{value}]" if alternate and level % 2 else f"[{value}]"
    return value


async def one_interest(call: Caller, match: Any = None) -> None:
    """So that events are looked at."""
    assert (await call("PUT", "/v1/interests/some", {"match": match or {"^b$": "x"}}))[0] == 200


async def everywhere(call: Caller, event: str) -> None:
    """An event at each place that matches it."""
    await call("POST", "/v1/interests/test", f'{{"data":{event}}}'.encode())
    await call("POST", "/v1/publish", f'{{"data":{event}}}'.encode())
    await call("PUT", "/v1/schedules/s", f'{{"interval_ms":1000,"publish":true,"payload":{event}}}'.encode())
    await call("POST", "/v1/schedules/s/run")
    await asyncio.sleep(1.2)  # it fires


@bad
async def arrays_in_arrays(call: Caller) -> None:
    await one_interest(call)
    await everywhere(call, f'{{"a":{nested(60)}}}')


@bad
async def arrays_in_arrays_at_places_that_differ(call: Caller) -> None:
    await one_interest(call)
    await everywhere(call, f'{{"a":{nested(58, alternate=True)}}}')


@bad
async def arrays_and_objects_in_turn(call: Caller) -> None:
    await one_interest(call)
    await everywhere(call, '{"a":' + '[{"b":' * 28 + "[]" + "}]" * 28 + "}")


@bad
async def a_wide_event(call: Caller) -> None:
    await one_interest(call)
    await everywhere(call, '{"a":[' + ",".join(["[]"] * 300_000) + "]}")


@bad
async def a_long_name_over_many_values(call: Caller) -> None:
    await one_interest(call)
    await everywhere(call, '{"' + "n" * 900_000 + '":[' + ",".join(["{}"] * 1_000) + "]}")


HOSTILE = {f"^t{n}?": f"(a|b)*a(a|b){{{100 + n}}}c" for n in range(64)}


@bad
async def patterns_that_are_slow_over_a_long_text(call: Caller) -> None:
    await one_interest(call, HOSTILE)
    await everywhere(call, json.dumps({"t": "ab" * 40_000, "t1": "ba" * 100}))


@bad
async def patterns_that_are_slow_over_many_short_texts(call: Caller) -> None:
    await one_interest(call, {".*": "(a|b)*a(a|b){300}c"})
    await everywhere(call, json.dumps({f"t{n}": "ab" * 50 for n in range(1_900)}))


@bad
async def patterns_that_become_large(call: Caller) -> None:
    for large in (
        r"\pL{100}",
        r"(\pL{1,30}[a-z]?){1,30}",
        r"((a{1,100}){1,10}){1,1}",
        r".{0,1000}",
        r"[^\x00-\x{10FFFF}]{1000}",
    ):
        await call("PUT", "/v1/interests/large", {"match": {f"{large}{n}": f"{n}{large}" for n in range(64)}})
        await call("PUT", "/v1/interests/one", {"match": {large: large}})


@bad
async def a_thousand_queues_with_patterns(call: Caller) -> None:
    match = {"^(a|b)*$": r"\pL{8}"}
    await call.all(*[("PUT", f"/v1/interests/q{n}", {"match": {**match, f"^f{n}$": rf"x.{{100}}{n}"}}) for n in range(1_000)])
    await everywhere(call, json.dumps({"a": "x" * 5_000, "f7": "x" * 5_000}))


@bad
async def many_large_interests_at_once(call: Caller) -> None:
    match = {f"{n}{'f' * 400}": f"{n}{'v' * 400}" for n in range(64)}
    await call.all(*[("PUT", f"/v1/interests/q{n}", {"match": match}) for n in range(200)])


@bad
async def a_fan_out_to_very_many(call: Caller) -> None:
    await call.all(*[("PUT", f"/v1/interests/q{n}", {"match": "*"}) for n in range(10_000)])
    await everywhere(call, "{}")


def bulk(queue: str = "q", count: int = 1_000, **more: Any) -> dict[str, Any]:
    """The body of a bulk of small jobs."""
    return {"jobs": [{"queue": queue, "payload": n, **more} for n in range(count)]}


async def lease_all(call: Caller, calls: int, limit: int = 1_000) -> list[list[str]]:
    """The tokens of what these calls were given."""
    body = {"queues": ["q"], "worker": "w", "max": limit}
    answers = await call.all(*[("POST", "/v1/leases", body) for _ in range(calls)])
    return [[job["lease"]["token"] for job in answer["jobs"]] for status, answer in answers if status == 200]


@bad
async def bulks_at_once(call: Caller) -> None:
    await call.all(*[("POST", "/v1/jobs", bulk()) for _ in range(30)])


@bad
async def bulks_with_keys_and_groups(call: Caller) -> None:
    bulks = [bulk(group_key=f"g{m % 3}", tags=[f"{n}" * 60 for n in range(8)]) for m in range(20)]
    for number, body in enumerate(bulks):
        for place, job in enumerate(body["jobs"]):
            job["unique_key"] = f"{number}-{place}"
    await call.all(*[("POST", "/v1/jobs", body) for body in bulks])
    await lease_all(call, 20)


@bad
async def leases_and_endings_at_once(call: Caller) -> None:
    await bulks_at_once(call)
    taken = await lease_all(call, 30)
    await call.all(
        *[("POST", "/v1/leases/batch", {"conclude": [{"token": one, "result": "r"} for one in some]}) for some in taken if some]
    )


@bad
async def purges_at_once(call: Caller) -> None:
    await call.all(*[("POST", "/v1/jobs", bulk(f"q{n}")) for n in range(60)])
    await call.all(*[("POST", f"/v1/queues/q{n}/purge", {"states": ["ready"]}) for n in range(60)])


@bad
async def cancels_at_once(call: Caller) -> None:
    answers = await call.all(*[("POST", "/v1/jobs", bulk()) for _ in range(5)])
    await call.all(*[("POST", f"/v1/jobs/{job['id']}/cancel") for _, answer in answers for job in answer["jobs"]])


@bad
async def the_largest_body_of_small_things(call: Caller) -> None:
    payload = "[" + ",".join(["[]"] * 340_000) + "]"
    await call("POST", "/v1/queues/q/jobs", f'{{"payload":{payload}}}'.encode())
    jobs = ",".join([f'{{"queue":"q","payload":{payload}}}'] * 16)
    await call("POST", "/v1/jobs", f'{{"jobs":[{jobs}]}}'.encode())
    await call("POST", "/v1/leases", {"queues": ["q"], "worker": "w", "max": 16})


@bad
async def bodies_that_are_deep_and_wide(call: Caller) -> None:
    for payload in ("[" * 60 + "]" * 60, '[{"a":' * 25 + "1" + "}]" * 25, '"' + "\\\\" * 100 + '"', "[[[[]]]]"):
        many = ",".join([payload] * (900_000 // len(payload)))
        await call("POST", "/v1/queues/q/jobs", f'{{"payload":[{many}]}}'.encode())
    await call("POST", "/v1/queues/q/jobs", f'{{"payload":[["{"x" * 1_000_000}"]{",[]" * 100}]}}'.encode())


LARGEST.add("the_largest_body_of_small_things")


@bad
async def searches_for_a_text_at_once(call: Caller) -> None:
    for _ in range(3):
        await call("POST", "/v1/jobs", bulk(count=200) | {"jobs": [{"queue": "q", "payload": "x" * 60_000}] * 200})
    await call.all(*[("GET", f"/v1/jobs?text=nothing{n}") for n in range(100)])


@bad
async def many_wait_for_one_job(call: Caller) -> None:
    _, job = await call("POST", "/v1/queues/q/jobs", {"payload": 1})
    waiting = asyncio.gather(*[call("GET", f"/v1/jobs/{job['id']}?wait_ms=10000") for _ in range(280)])
    await asyncio.sleep(0.5)
    await call("POST", f"/v1/jobs/{job['id']}/cancel")
    await waiting


@bad
async def many_streams_and_a_bulk(call: Caller) -> None:
    for _ in range(200):
        await call.listen("/v1/stream")
    await call.all(*[("POST", "/v1/jobs", bulk()) for _ in range(10)])


async def make_queues(call: Caller, count: int = 100_000) -> None:
    """So many queues, each with a job."""
    await call.all(*[("POST", "/v1/jobs", bulk_of_queues(n, min(n + 1_000, count))) for n in range(0, count, 1_000)])


def bulk_of_queues(first: int, behind: int) -> dict[str, Any]:
    """The body of a bulk with a job for each of many queues."""
    return {"jobs": [{"queue": f"q{n}", "payload": n} for n in range(first, behind)]}


@bad
async def bulks_of_new_queues(call: Caller) -> None:
    await make_queues(call, 20_000)
    await call("POST", "/v1/jobs", {"jobs": [{"queue": f"n{n}:" + "x" * 190, "payload": n} for n in range(1_000)]})


@bad
async def a_copy_for_each_of_the_most_workers(call: Caller) -> None:
    await one_interest(call, "*")
    await call.all(*[("POST", "/v1/workers", {"queues": ["some"]}) for n in range(10_000)])
    await call("POST", "/v1/publish", {"data": 1, "scope": "all"})


@bad
async def numbers_and_tubes_of_the_most_queues(call: Caller) -> None:
    await make_queues(call)
    pages = (
        "/metrics",
        "/v1/stats",
        "/v1/queues?limit=1000",
        "/web",
        "/web?q=7&sort=backlog",
        "/stats",
        "/jobs/stats",
        "/web/schedules",
    )
    for path in pages:
        await call("GET", path)
    await call.all(*[("GET", path) for path in ("/v1/stats", "/metrics", "/web") for _ in range(10)])
    for command in (b"list-tubes", b"stats"):
        await call.tube(command)
        await asyncio.gather(*[call.tube(command) for _ in range(10)])


WIDE = 64 << 20


def wide(*which: int) -> Iterator[bytes]:
    """Payloads of the most bytes that a payload may be set to: these, or all, one after the other."""
    made: tuple[Callable[[], bytes], ...] = (
        lambda: b'"' + b"x" * (WIDE - 2) + b'"',
        lambda: b"[" + b"[]," * ((WIDE - 2) // 3 - 1) + b"[]]",
        lambda: b"[" + b'"\\"",' * ((WIDE - 2) // 5 - 1) + b'"\\""]',
        lambda: b'"' + "\u00e4".encode() * (WIDE // 2 - 1) + b'"',
        lambda: b'"' + b"\\u0041" * (WIDE // 6 - 1) + b'"',
    )
    return (made[one]() for one in which or range(len(made)))


async def lease_one(call: Caller) -> str:
    """The token of a job that was leased."""
    _, answer = await call("POST", "/v1/leases", {"queues": ["q"], "worker": "w"})
    if isinstance(answer, bytes):
        answer = {"jobs": [{"lease": {"token": answer.rpartition(b'"token":"')[2].partition(b'"')[0].decode()}}]}
    return answer["jobs"][0]["lease"]["token"]


@bad
async def the_largest_payload_that_may_be_set(call: Caller) -> None:
    for payload in wide():
        assert (await call("POST", "/v1/queues/q/jobs", b'{"payload":' + payload + b"}"))[0] == 201
    await call("GET", "/v1/queues/q/jobs?limit=10")


@bad
async def the_largest_result_that_may_be_set(call: Caller) -> None:
    (many,) = wide(1)
    assert (await call("POST", "/v1/jobs", b'{"jobs":[{"queue":"q","payload":' + many + b"}]}"))[0] == 201
    for ending in (b'{"then":[{"queue":"q","payload":' + many + b"}]}", b'{"result":' + many + b"}"):
        token = await lease_one(call)
        assert (await call("POST", f"/v1/leases/{token}/conclude", ending))[0] == 200


@bad
async def the_largest_event_that_may_be_set(call: Caller) -> None:
    await one_interest(call)
    for payload in wide(1, 2):
        await call("POST", "/v1/publish", b'{"data":' + payload + b"}")
        await call("POST", "/v1/interests/test", b'{"data":' + payload + b"}")


@bad
async def the_largest_bytes_that_may_be_set(call: Caller) -> None:
    reader, writer = await call._connect()
    head = f"POST /v1/queues/raw/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {WIDE}\r\n\r\n"
    writer.write(head.encode() + bytes(range(256)) * (WIDE >> 8))
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201"), answer
    await call("POST", "/v1/leases", {"queues": ["raw"], "worker": "w"})


OF_ANY_SIZE = {
    "the_largest_payload_that_may_be_set",
    "the_largest_result_that_may_be_set",
    "the_largest_event_that_may_be_set",
    "the_largest_bytes_that_may_be_set",
}
LARGEST.update(OF_ANY_SIZE)
OPTIONS.update({name: ("--max-payload-bytes", str(WIDE), "--memory-budget", str(1 << 30)) for name in OF_ANY_SIZE})


@bad
async def many_of_the_largest_ordinary_bodies_at_once(call: Caller) -> None:
    body = b'{"payload":[' + b"[]," * 339_999 + b"[]]}"
    await call.all(*[("POST", f"/v1/queues/q{n}/jobs", body) for n in range(40)])
    await call.all(*[("POST", "/v1/leases", {"queues": [f"q{n}"], "worker": "w"}) for n in range(40)])


@bad
async def many_bodies_that_are_nearly_large_at_once(call: Caller) -> None:
    payloads = (b"[" + b",".join([b"[]"] * 86_000) + b"]", b"[" + b",".join([b'"\\""'] * 52_000) + b"]")
    bodies = [("/v1/queues/q/jobs", b'{"payload":' + payload + b"}") for payload in payloads]
    bodies.append(("/v1/jobs", b'{"jobs":[' + b",".join([b'{"queue":"q"}'] * 18_000) + b"]}"))
    for path, body in bodies:  # past its budget the server hangs up on some
        await asyncio.gather(*[call("POST", path, body) for _ in range(150)], return_exceptions=True)


@bad
async def messages_with_very_many_members(call: Caller) -> None:
    most = 5_000_000
    queues = b",".join([b'"q"'] * (most // 4))
    await call.channel(b'{"op":"start","credits":1,"queues":[' + queues + b"]}")
    await call.channel(b'{"op":"batch","extend":[' + b",".join([b'{"token":"t"}'] * (most // 14)) + b"]}")
    await call.channel(
        b'{"op":"batch","conclude":[{"token":"t","then":[' + b",".join([b'{"queue":"q"}'] * (most // 14)) + b"]}]}"
    )
    await call.channel(b'{"op":"enqueue","body":{"jobs":[' + b",".join([b'{"queue":"q"}'] * (most // 14)) + b"]}}")
    await call.channel(b'{"op":"ping",' + b",".join([b'"ref":"a"'] * (most // 10)) + b"}")
    await call.channel(b"{" + b",".join([b'"op":"ping"'] * (most // 12)) + b"}")
    await call.channel(b'{"op":"enqueue","body":[' + b",".join([b"[]"] * (most // 3)) + b"]}")
    await call.channel(b'{"op":' + b"[" * (most // 2) + b"]" * (most // 2) + b"}")


@bad
async def metrics_and_pages_with_many_queues(call: Caller) -> None:
    await call.all(*[("POST", f"/v1/queues/q{n}/jobs", {"payload": 1}) for n in range(5_000)])
    for path in ("/metrics", "/v1/stats", "/v1/queues?limit=1000", "/web", "/web/queues", "/v1/interests"):
        await call("GET", path)
