"""Holdfast as the measured server: started on a fresh store, queried for its settings, counts and metrics, and stopped."""

import http.client
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.child import Started
from bench.database import Database
from bench.figures import Histogram, labelless
from bench.processes import roles
from cluster.ports import free_port

QUEUE = "bench"
TUBE = "default"  # the default tube of a beanstalkd client
PROBE_QUEUE = "bench-probe"
CAPACITY = {"capacity_jobs": 100_000_000, "capacity_bytes": 1 << 40}  # no case is to meet a full queue
BATCH_SIZE = "holdfast_commit_batch_size"
COMMIT_SECONDS = "holdfast_commit_seconds"
PROOFS = "holdfast_replication_proof_seconds"


class Refused(Exception):
    """An unexpected answer of the server to the harness."""


class Commits(msgspec.Struct, frozen=True):
    """What the server's own histograms say of its commits; None where /metrics does not have them. Of proofs by standbys: how many, and their time."""

    batch: Histogram | None
    seconds: Histogram | None
    proofs: float = 0
    proof_seconds: float = 0

    def since(self, earlier: "Commits") -> "Commits":
        batch = self.batch.since(earlier.batch) if self.batch else None
        seconds = self.seconds.since(earlier.seconds) if self.seconds else None
        return Commits(batch, seconds, self.proofs - earlier.proofs, self.proof_seconds - earlier.proof_seconds)


class Holdfast:
    """One running server with an empty store, its queue made wide enough for every case."""

    name = "holdfast"

    def __init__(
        self, directory: Path, store: str, fronts: int, database: Database | None = None, source: Path | None = None
    ) -> None:
        """`source`: the folder of another version's source, which is run instead of this one's."""
        environment = None
        if source is not None:
            self.name, environment = f"holdfast at {source.parent.name}", {**os.environ, "PYTHONPATH": str(source)}
        self.port, self.tubes = free_port(), free_port()
        self.database = database
        where = "memory" if store == "memory" else f"sqlite:///{directory.resolve() / 'bench.db'}"
        if database is not None:
            database.empty()
            where = database.url
        command = [sys.executable, "-m", "holdfast", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        command += [
            "--beanstalk",
            f"127.0.0.1:{self.tubes}",
            "--store",
            where,
            "--fronts",
            str(fronts),
            "--log-level",
            "warning",
        ]
        if database is not None and database.needed:
            command += ["--replicas", str(database.needed)]
        self._start = partial(Started, self.name, command, directory, self._is_ready, environment)
        self._started = self._start()
        self.ready_after_s = self._started.ready_after_s
        for queue in (QUEUE, TUBE):
            self.ask("PUT", f"/v1/queues/{queue}", CAPACITY)

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, path, msgspec.json.encode(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a 2xx answer; anything else is `Refused`."""
        status, said = self.request(method, path, body)
        if not 200 <= status < 300:
            raise Refused(f"{method} {path} was answered {status}: {said[:500].decode(errors='replace')}")
        return msgspec.json.decode(said) if said else None

    def durability(self) -> str:
        """How the server stores a job, in its own words, from the answer to a push."""
        stated = self.ask("POST", f"/v1/queues/{PROBE_QUEUE}/jobs", {"payload": "probe"}).get("durability", {})
        return f"{stated.get('level', 'not stated')}, replicas {stated.get('replicas', 'not stated')}"

    def concluded(self) -> int:
        """How many jobs of the benchmark's queues the server counts as concluded."""
        return sum(int(self.ask("GET", f"/v1/queues/{queue}")["jobs"]["concluded"]) for queue in (QUEUE, TUBE))

    def roles(self) -> dict[int, str]:
        """The server's processes by what they do."""
        return roles(self._started.pid) | (self.database.roles() if self.database is not None else {})

    def commits(self) -> Commits:
        status, page = self.request("GET", "/metrics")
        text = page.decode() if status == 200 else ""
        proofs, seconds = (labelless(text, f"{PROOFS}_{part}") for part in ("count", "sum"))
        return Commits(Histogram.read(text, BATCH_SIZE), Histogram.read(text, COMMIT_SECONDS), proofs, seconds)

    def killed_and_started_again(self) -> float:
        """`kill -9` of every process, and a start on what they left; how long it took to be ready, in seconds."""
        self._started.kill()
        self._started = self._start()
        return self._started.ready_after_s

    def said(self) -> str:
        return self._started.said()

    def stop(self) -> list[int]:
        return self._started.stop()
