"""Enqueue jobs while the cluster is being broken, record the acknowledged ones, and look for all of them afterwards.

The callers do what Holdfast recommends: each job has an `Idempotency-Key`, and is retried until there is an answer. The payload
is that key, so a duplicate is detected.
"""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from urllib.parse import quote, urlsplit

ACKNOWLEDGED = "acknowledged.txt"
QUEUE = "trial"
PAGE = 1000
CALL_S = 30
AGAIN_S = 0.2  # between two tries of one job
KEPT = (200, 201)


class Pushing:
    """Callers that enqueue in threads, for the length of a `with`. `path` gets a line for each acknowledged job: id and key."""

    def __init__(self, url: str, path: Path, callers: int, rest_s: float = 0.0) -> None:
        """`url` is that of the proxy; `rest_s` is between two jobs of a caller."""
        self._address = urlsplit(url).netloc
        self._path = path
        self._rest_s = rest_s
        self._run = secrets.token_hex(4)  # so that the keys of two runs differ
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._threads = [threading.Thread(target=self._push, args=(n,), daemon=True) for n in range(callers)]
        self.acknowledged = 0
        self.again = 0
        self.refused = ""
        self._told = 0
        self._last = monotonic()

    def __enter__(self) -> Pushing:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; waits for jobs in progress, or abandons them without an answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_S + 1)

    def line(self) -> str:
        """The progress since the last line."""
        new, self._told = self.acknowledged - self._told, self.acknowledged
        silent = monotonic() - self._last
        pause = f", nothing for {silent:.0f} s: {self.refused}" if silent > 1 else ""
        return f"{self.acknowledged} acknowledged (+{new}), {self.again} tries repeated{pause}"

    def _push(self, caller: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=CALL_S)
        number = 0
        while not self._stop.wait(self._rest_s):
            number += 1
            key = f"{self._run}-{caller}-{number}"
            while not self._sent(connection, key):
                self.again += 1
                if self._stop.wait(AGAIN_S):
                    return

    def _sent(self, connection: http.client.HTTPConnection, key: str) -> bool:
        """One try: whether the job was acknowledged."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection.request("POST", f"/v1/queues/{QUEUE}/jobs", json.dumps({"payload": key}), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.refused = type(error).__name__
            return False
        if answer.status not in KEPT:
            self.refused = f"{answer.status} {_code(body)}"
            return False
        job = json.loads(body)
        with self._writing:
            with self._path.open("a") as file:
                file.write(f"{job['id']} {key}\n")
            self.acknowledged += 1
            self._last = monotonic()
        return True


def _code(body: bytes) -> str:
    """The code of a refusal; those of the proxy have none."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return "of the proxy"


@dataclass(frozen=True, slots=True)
class Count:
    """The counts: of the acknowledged jobs, and of the whole queue."""

    acknowledged: int
    found: int
    jobs: int
    twice: int

    @property
    def missing(self) -> int:
        """Acknowledged jobs that do not exist."""
        return self.acknowledged - self.found


def count(url: str, path: Path) -> Count:
    """Read the whole queue, and look for every line of `path` in it."""
    acknowledged = {tuple(line.split()) for line in path.read_text().splitlines()}
    there = list(_jobs(urlsplit(url).netloc))
    keys = Counter(key for _, key in there)
    return Count(len(acknowledged), len(acknowledged & set(there)), len(there), sum(n > 1 for n in keys.values()))


def _jobs(address: str) -> Iterator[tuple[str, str]]:
    """Id and payload of every job in the queue."""
    connection = http.client.HTTPConnection(address, timeout=CALL_S)
    cursor: str | None = ""
    while cursor is not None:
        connection.request("GET", f"/v1/jobs?queue={QUEUE}&limit={PAGE}" + (f"&cursor={quote(cursor)}" if cursor else ""))
        answer = connection.getresponse()
        body = json.load(answer)
        if answer.status != http.client.OK:
            raise RuntimeError(f"The queue could not be read: {body}")
        yield from ((str(job["id"]), job["payload"]) for job in body["jobs"])
        cursor = body["next_cursor"]
    connection.close()
