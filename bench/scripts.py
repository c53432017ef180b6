"""What one caller does, request by request.

A script is a generator: it yields the bytes of a request and is sent the answer, (status, body). `turns` limits its
repetitions; callers share it, so a phase is "until two seconds are over" or "these ten thousand tokens" over all its
connections together. Any unexpected answer is a failure, counted by step and status.
"""

import random
import string
import time
from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from itertools import count, cycle, repeat
from typing import Any

import msgspec

from bench.wire import Script, http_request

LEASE_MS = 300_000
PAYLOADS = 64  # different payloads in turn, so that nothing profits from repetition
clock = time.perf_counter


class _Lease(msgspec.Struct):
    token: str


class _Numbered(msgspec.Struct):
    n: str = "0"


class _Job(msgspec.Struct):
    lease: _Lease
    payload: _Numbered


class _Leased(msgspec.Struct):
    jobs: list[_Job]


class _Ended(msgspec.Struct):
    """One entry of a batch's answer: a refused one gives its code."""

    code: str | None = None
    error: Any = None


class _BatchEnded(msgspec.Struct):
    conclude: list[_Ended]


leased_jobs = msgspec.json.Decoder(_Leased).decode
ended_leases = msgspec.json.Decoder(_BatchEnded).decode


class Tally:
    """What the callers of one phase saw. Samples are seconds, one per operation timed; `done` counts jobs."""

    def __init__(self) -> None:
        self.samples = array("d")
        self.done = 0
        self.concluded = 0
        self.failures: Counter[str] = Counter()
        self.first_failure = ""

    def timed(self, began: float, jobs: int = 1) -> None:
        self.samples.append(clock() - began)
        self.done += jobs

    def failed(self, step: str, answer: tuple[int | str, bytes]) -> None:
        status, body = answer
        self.failures[f"{step} {status}"] += 1
        self.first_failure = self.first_failure or f"{step} {status}: {body[:300].decode(errors='replace')}"


class Calls:
    """The requests of the contract for one queue, as bytes made beforehand wherever they can be."""

    def __init__(self, queue: str, payload_bytes: int, seed: int, extra: str = "", wait_ms: int = 0) -> None:
        """`extra`: see `Order`; `wait_ms`: how long the leases of a life wait for a job."""
        self.wait_ms = wait_ms
        self._extra = f",{extra}".encode() if extra else b""
        chosen = random.Random(seed)
        letters = string.ascii_letters + string.digits
        self.queue = queue
        self._fills = ["".join(chosen.choices(letters, k=payload_bytes)).encode() for _ in range(PAYLOADS)]
        self._push_path = f"/v1/queues/{queue}/jobs"
        self.pushes = cycle([self.push(n, fill) for n, fill in enumerate(self._fills)])
        self._before_token = b"POST /v1/leases/"
        self._after_token = http_request("POST", "/conclude", b"{}").removeprefix(b"POST ")

    def push(self, n: int = 0, fill: bytes | None = None) -> bytes:
        fill = fill if fill is not None else self._fills[n % PAYLOADS]
        body = b'{"payload":{"n":"%010d","fill":"%s"}%s}' % (n, fill, self._extra_of(n))
        return http_request("POST", self._push_path, body)

    def bulk_push(self, jobs: int, first: int = 0) -> bytes:
        return http_request("POST", "/v1/jobs", b'{"jobs":[%s]}' % self._entries(jobs, first))

    def bulk_pushes(self, jobs: int) -> Iterator[bytes]:
        """One after the other: the same each time, unless a job names its number."""
        if b"{n}" not in self._extra:
            return repeat(self.bulk_push(jobs))
        return (self.bulk_push(jobs, first) for first in count(0, jobs))

    def batches(self, jobs: int) -> Iterator[bytes]:
        """Batches of so many jobs that stay open."""
        return repeat(http_request("POST", "/v1/batches", b'{"jobs":[%s]}' % self._entries(jobs, 0)))

    def _entries(self, jobs: int, first: int) -> bytes:
        queue = self.queue.encode()
        return b",".join(
            b'{"queue":"%s","payload":{"n":"0","fill":"%s"}%s}' % (queue, self._fills[i % PAYLOADS], self._extra_of(i))
            for i in range(first, first + jobs)
        )

    def _extra_of(self, n: int) -> bytes:
        return self._extra.replace(b"{n}", b"%d" % n) if self._extra else b""

    def lease(self, jobs: int = 1, wait_ms: int = 0) -> bytes:
        wanted = {"queues": [self.queue], "max": jobs, "lease_ms": LEASE_MS, "wait_ms": wait_ms}
        return http_request("POST", "/v1/leases", msgspec.json.encode(wanted))

    def conclude(self, token: str) -> bytes:
        return self._before_token + token.encode() + self._after_token

    def conclude_batch(self, tokens: Iterable[str]) -> bytes:
        body = b'{"conclude":[' + b",".join(b'{"token":"%s"}' % token.encode() for token in tokens) + b"]}"
        return http_request("POST", "/v1/leases/batch", body)


def until_over(seconds: float) -> Iterator[None]:
    """Turns until `seconds` have passed since the first one was taken."""
    end = clock() + seconds
    while clock() < end:
        yield


def pushing(tally: Tally, turns: Iterable[None], requests: Iterator[bytes], jobs: int = 1) -> Script:
    """Push, `jobs` to a request."""
    for _ in turns:
        began = clock()
        answer = yield next(requests)
        if answer[0] == 201:
            tally.timed(began, jobs)
        else:
            tally.failed("push", answer)


def dequeuing(tally: Tally, turns: Iterable[None], request: bytes, tokens: list[str]) -> Script:
    """Lease one job at a time and keep its token in `tokens`."""
    for _ in turns:
        began = clock()
        answer = yield request
        jobs = leased_jobs(answer[1]).jobs if answer[0] == 200 else None
        if jobs:
            tally.timed(began)
            tokens.append(jobs[0].lease.token)
        else:
            tally.failed("lease", answer)


def concluding(tally: Tally, tokens: Iterable[str], calls: Calls) -> Script:
    """Conclude the leases of `tokens`, each by a request of its own."""
    for token in tokens:
        began = clock()
        answer = yield calls.conclude(token)
        if answer[0] == 200:
            tally.timed(began)
            tally.concluded += 1
        else:
            tally.failed("conclude", answer)


def living(tally: Tally, turns: Iterable[None], calls: Calls) -> Script:
    """A job's life: push one, lease one (whichever is first), conclude that."""
    lease = calls.lease(wait_ms=calls.wait_ms)
    for _ in turns:
        began = clock()
        answer = yield next(calls.pushes)
        if answer[0] != 201:
            tally.failed("push", answer)
            continue
        answer = yield lease
        jobs = leased_jobs(answer[1]).jobs if answer[0] == 200 else None
        if not jobs:
            tally.failed("lease", answer)
            continue
        answer = yield calls.conclude(jobs[0].lease.token)
        if answer[0] != 200:
            tally.failed("conclude", answer)
            continue
        tally.timed(began)
        tally.concluded += 1


def living_in_batches(tally: Tally, turns: Iterable[None], calls: Calls, jobs: int) -> Script:
    """The lives of `jobs` jobs in three requests."""
    push, lease = calls.bulk_push(jobs), calls.lease(jobs, calls.wait_ms)
    for _ in turns:
        began = clock()
        answer = yield push
        if answer[0] != 201:
            tally.failed("bulk push", answer)
            continue
        concluded = yield from _conclude_leased(tally, lease, calls)
        if concluded:
            tally.timed(began, concluded)


def draining(tally: Tally, calls: Calls, jobs: int) -> Script:
    """Lease and conclude, `jobs` at a time, until the queue has nothing ready."""
    lease = calls.lease(jobs)
    began = clock()
    while concluded := (yield from _conclude_leased(tally, lease, calls, empty_is_fine=True)):
        tally.timed(began, concluded)
        began = clock()


def _conclude_leased(tally: Tally, lease: bytes, calls: Calls, empty_is_fine: bool = False) -> Generator[bytes, Any, int]:
    """Lease with `lease` and conclude all jobs in one request; returns how many jobs were concluded."""
    answer = yield lease
    jobs = leased_jobs(answer[1]).jobs if answer[0] == 200 else None
    if not jobs:
        if jobs is None or not empty_is_fine:
            tally.failed("bulk lease", answer)
        return 0
    answer = yield calls.conclude_batch([job.lease.token for job in jobs])
    if answer[0] != 200:
        tally.failed("batch conclude", answer)
        return 0
    ended = ended_leases(answer[1]).conclude
    concluded = sum(entry.code is None and entry.error is None for entry in ended)
    tally.concluded += concluded
    if concluded < len(jobs):
        tally.failed("batch conclude entry", answer)
    return concluded


def parked(tally: Tally, request: bytes, tokens: list[str]) -> Script:
    """One long poll, answered when a job comes."""
    began = clock()
    answer = yield request
    jobs = leased_jobs(answer[1]).jobs if answer[0] == 200 else None
    if jobs:
        tally.timed(began)
        tokens.append(jobs[0].lease.token)
    else:
        tally.failed("parked poll", answer)
