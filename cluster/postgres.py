"""One PostgreSQL server that a program can start, break and stop.

    with server(folder) as one:                 # up in about a second
        one.sql("SELECT 1")
        holdfast = one.url()                    # postgresql://holdfast@127.0.0.1:…/holdfast

Loopback only and without passwords: for trials, never for data. Three roles: `postgres` (everything), `holdfast`
(owns the database `holdfast`, has pg_monitor and nothing more) and `replicator`. Flushing is on, as in production: `kill()`
leaves what a crash leaves.

Its methods block. A program with an event loop must call them in a thread.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from cluster.ports import free_port
from cluster.processes import (
    give,
    kill_tree,
    run,
    signal_tree,
    unprivileged,
    wait_until,
)
from cluster.programs import Programs, find

START_S = 30  # a start after a crash replays the write-ahead log
STOP_S = 30

SETTINGS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # none: the path of a socket must be short, and temporary folders have long paths
    "max_connections": "100",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that a kill -9 leaves nothing elsewhere
    "wal_level": "replica",
    "wal_log_hints": "on",  # for pg_rewind
    "wal_keep_size": "512MB",  # standbys that were away can catch up; there are no slots
    "max_slot_wal_keep_size": "2GB",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "hot_standby_feedback": "off",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %a ",
}

ROLES = """CREATE ROLE holdfast LOGIN
GRANT pg_monitor TO holdfast
CREATE ROLE replicator LOGIN REPLICATION
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO replicator
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO replicator
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO replicator
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO replicator
CREATE DATABASE holdfast OWNER holdfast
"""


class PostgresServer:
    """A server with a data folder and a port of its own. Call `create` or `clone`, then `start`."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "n1",
        programs: Programs | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`name` is its `cluster_name`, and its `application_name` while it streams from another."""
        self.name = name
        self.programs = programs or find()
        self.port = port or free_port()
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.settings = SETTINGS | dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        give(folder)

    # ------------------------------------------------------------------------------------------------- its folder

    def create(self) -> None:
        """Create an empty database cluster."""
        self._own_nothing()
        run(["cp", "-a", "--reflink=auto", str(_template(self.programs)), str(self.data)])
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self.settings.items())

    def clone(self, source: PostgresServer) -> None:
        """Become a standby: a fresh copy of a running server, by pg_basebackup. Earlier data is removed."""
        self._own_nothing()
        origin = f"host=127.0.0.1 port={source.port} user=replicator application_name={self.name}"
        copy = [self.programs["pg_basebackup"], f"--dbname={origin}", f"--pgdata={self.data}"]
        options = ["--checkpoint=fast", "--wal-method=stream", "--no-sync"]
        run([*unprivileged(self.programs.folder, self.data), *copy, *options])
        (self.data / "standby.signal").touch()
        give(self.data / "standby.signal")
        self._write(primary_conninfo=_conninfo(source, self.name))

    def rewind(self, source: PostgresServer) -> None:
        """Become a standby of a server on another timeline, keeping the common data, by pg_rewind."""
        assert not self.running
        origin = f"host=127.0.0.1 port={source.port} user=postgres dbname=postgres"
        command = [self.programs["pg_rewind"], f"--target-pgdata={self.data}", f"--source-server={origin}", "--no-sync"]
        run([*unprivileged(self.programs.folder, self.data), *command])
        (self.data / "standby.signal").touch()
        give(self.data / "standby.signal")
        self._write(primary_conninfo=_conninfo(source, self.name))

    def remove(self) -> None:
        """Delete its data, as when the machine is lost."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def _own_nothing(self) -> None:
        assert not self.running, f"{self.name} is running"
        shutil.rmtree(self.data, ignore_errors=True)

    def _write(self, **settings: str) -> None:
        """Write settings into a folder without a running server; the last line for a setting applies."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    # ------------------------------------------------------------------------------------------------ its process

    @property
    def running(self) -> bool:
        """Whether its process runs, also while it is suspended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the first process, the parent of all others."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers (a standby: until it accepts queries)."""
        assert not self.running, f"{self.name} is running"
        command = [self.programs["postgres"], "-D", str(self.data)]
        own = {"port": str(self.port), "cluster_name": self.name}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*unprivileged(self.programs.folder, self.data), *command, *(f"--{k}={v}" for k, v in own.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            wait_until(self._up, START_S, f"{self.name} does not answer; see {self.log}")

    def _up(self) -> bool:
        if not self.running:
            raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
        return self.answers()

    def answers(self) -> bool:
        """Whether it accepts connections now."""
        try:
            self.sql("SELECT 1", timeout_s=2)
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, mode: str = "fast") -> None:
        """Shut it down cleanly (`fast`), or without a last checkpoint (`immediate`)."""
        if not self.running:
            return
        assert self._process is not None
        self._process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self._process.wait(STOP_S)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """`kill -9` of every process of it."""
        if self._process is None:
            return
        if self.running:
            kill_tree(self._process.pid)
        self._process.wait(STOP_S)

    def pause(self) -> None:
        """SIGSTOP to every process of it: connections stay open and nothing answers."""
        signal_tree(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to every process of it."""
        signal_tree(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it, whatever its state: for the end of a trial, when its data is not needed any more."""
        if self.running:
            self.resume()
            self.stop("immediate")

    # --------------------------------------------------------------------------------------- connections and queries

    def url(self, user: str = "holdfast", database: str = "holdfast") -> str:
        """Its URL."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, user: str = "postgres", database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A connection with autocommit; as the superuser by default."""
        return psycopg.connect(self.url(user, database), autocommit=True, **{"connect_timeout": 5, **options})

    def sql(
        self,
        query: str,
        values: tuple[object, ...] = (),
        *,
        user: str = "postgres",
        database: str = "postgres",
        timeout_s: int = 10,
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. The server cancels a wait for standbys after `timeout_s`, too."""
        with self.connect(user, database, connect_timeout=timeout_s) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self, template: str = "template1") -> None:
        """Its database holdfast is a new one, without whoever was connected to the last."""
        self.sql("DROP DATABASE IF EXISTS holdfast WITH (FORCE)")
        self.sql(f"CREATE DATABASE holdfast OWNER holdfast TEMPLATE {template}")

    def value(self, query: str, values: tuple[object, ...] = (), **options: Any) -> Any:
        """The first column of the first row."""
        return self.sql(query, values, **options)[0][0]

    def configure(self, **settings: str) -> None:
        """ALTER SYSTEM and reload. Some settings apply only after a restart."""
        with self.connect() as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            before = connection.execute("SELECT pg_conf_load_time()").fetchone()
            connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.sql("SELECT pg_conf_load_time()")[0] != before, 10, "the settings are not read")

    @property
    def is_primary(self) -> bool:
        """Whether it accepts writes."""
        return not self.value("SELECT pg_is_in_recovery()")

    def promote(self) -> None:
        """Promote a standby, and wait until it accepts writes."""
        assert self.value("SELECT pg_promote(true, 30)"), f"{self.name} was not promoted"

    def follow(self, source: PostgresServer) -> None:
        """Let a running standby stream from another server."""
        self.configure(primary_conninfo=_conninfo(source, self.name))


def _conninfo(source: PostgresServer, name: str) -> str:
    return f"host=127.0.0.1 port={source.port} user=replicator application_name={name} connect_timeout=3"


@contextmanager
def server(folder: Path, *, start: bool = True, **options: Any) -> Iterator[PostgresServer]:
    """A server with an empty database, for the length of a `with`. Options are those of `PostgresServer`."""
    one = PostgresServer(folder, **options)
    one.create()
    try:
        if start:
            one.start()
        yield one
    finally:
        one.close()


@cache
def _template(programs: Programs) -> Path:
    """A fresh data folder with our roles: a copy takes a tenth of the time. Created once per version by each process, or by the first of all that
    are given the same folder as POSTGRES_TEMPLATES.
    """
    if (shared := os.environ.get("POSTGRES_TEMPLATES")) is None:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-initdb-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _created(programs, folder)
    folder = Path(shared, str(programs.folder).replace("/", "_"))
    finished = folder / "finished"
    with Path(shared, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _created(programs, folder)
            finished.touch()
    return folder / "data"


def _created(programs: Programs, folder: Path) -> Path:
    give(folder)
    data = folder / "data"
    before = unprivileged(programs.folder, data)
    options = ["--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8", "--data-checksums", "--no-sync"]
    run([*before, programs["initdb"], f"--pgdata={data}", *options])
    subprocess.run(
        [*before, programs["postgres"], "--single", "-D", str(data), "postgres"],
        input=ROLES,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return data
