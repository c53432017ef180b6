"""One PostgreSQL node under Patroni: its settings, its start, its loss.

The settings are those that Holdfast's promise needs, each with its reason. Copy them for a real cluster; only `ttl` and
`loop_wait` are shorter here, so that a failover is fast.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cluster.child import Child
from cluster.place import NODES, Place
from cluster.processes import give, kill_tree, unprivileged
from cluster.programs import Programs

SCOPE = "holdfast"

# For the whole cluster; kept in etcd, changed with `patronictl edit-config`.
AGREED: dict[str, Any] = {
    "ttl": 20,  # Patroni's minimum: how long the others wait before a failover
    "loop_wait": 5,
    "retry_timeout": 5,
    # A commit waits until one standby has flushed it, whichever is first; and only one that has everything is promoted.
    "synchronous_mode": "quorum",
    # Without a standby nothing is committed. If this is off, the primary goes on alone and reports success.
    "synchronous_mode_strict": True,
    "synchronous_node_count": 1,  # K of Holdfast's --replicas; `make cluster` sets it at each start
    "maximum_lag_on_syncnode": -1,
    "check_timeline": True,
    # If etcd is down but all nodes see each other, the primary stays.
    "failsafe_mode": True,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            "synchronous_commit": "on",
            "fsync": "on",
            "full_page_writes": "on",
            "wal_level": "replica",
            "wal_log_hints": "on",
            # A standby that stays away must not fill the primary's disk.
            "max_slot_wal_keep_size": "4GB",
            # No old snapshot may keep dead rows: standbys send no feedback, and idle transactions are terminated.
            "hot_standby_feedback": "off",
            "idle_in_transaction_session_timeout": "60s",
            "wal_receiver_status_interval": "1s",
            "max_connections": 100,
            "shared_buffers": "128MB",
            "max_wal_size": "4GB",
            "jit": "off",
            "autovacuum_naptime": "5s",
        },
    },
}


class PostgresNode:
    """PostgreSQL with the Patroni that manages it: one machine of a real cluster."""

    def __init__(self, number: int, place: Place, programs: Programs) -> None:
        """Writes and starts nothing."""
        self.name = f"n{number}"
        self.place = place
        self.folder = place.folder / self.name
        self.data = self.folder / "data"
        self._programs = programs
        self._rest = place.address(f"patroni{number}")
        command = [sys.executable, "-m", "patroni", str(self.folder / "patroni.yml")]
        self._patroni = Child(
            self.name,
            [*unprivileged(sys.executable, programs.folder, self.folder), *command],
            place.folder / "logs" / f"{self.name}.log",
            # The user that it runs as may have no home folder, and need not write bytecode.
            {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    @property
    def alive(self) -> bool:
        """Whether its Patroni runs."""
        return self._patroni.alive

    @property
    def ended(self) -> bool:
        """Whether its Patroni was started and has ended."""
        return self._patroni.ended

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL: an empty node as the first primary, or as a copy of the primary."""
        self.folder.mkdir(parents=True, exist_ok=True)
        give(self.folder)
        file = self.folder / "patroni.yml"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self._settings(), indent=2))  # JSON is YAML
        give(file)
        self._patroni.start()

    def kill(self) -> None:
        """`kill -9` of Patroni and of every process of PostgreSQL: the loss of the machine."""
        self._patroni.kill()  # first, so that it does not start PostgreSQL again
        if pid := self._postgres():
            kill_tree(pid)

    def forget(self) -> None:
        """Remove all its data."""
        assert not self.alive, f"{self.name} is running"
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask_to_end(self) -> None:
        """SIGTERM: Patroni shuts PostgreSQL down cleanly."""
        self._patroni.ask_to_end()

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of both."""
        self._patroni.wait(timeout_s)
        if pid := self._postgres():
            kill_tree(pid)

    def seen(self) -> dict[str, Any] | None:
        """Its Patroni's report on itself, or None if it does not answer."""
        return _get(f"http://{self._rest}/patroni")

    def cluster(self) -> list[dict[str, Any]] | None:
        """Its Patroni's report on all members: `name`, `role`, `state`, `lag`."""
        answer = _get(f"http://{self._rest}/cluster")
        return answer.get("members") if answer else None

    def own(self) -> dict[str, Any] | None:
        """Its Patroni's report on itself, in the form of `cluster`: this works without etcd."""
        seen = self.seen()
        if seen is None or "role" not in seen:
            return None
        leads = seen["role"] in ("primary", "master")
        state = seen.get("state", "unknown") if leads else seen.get("replication_state", seen.get("state", "unknown"))
        return {"name": self.name, "role": "leader" if leads else seen["role"], "state": state, "lag": "unknown"}

    def agree(self, settings: dict[str, Any]) -> None:
        """Change the cluster-wide configuration, as `patronictl edit-config` does."""
        request = urllib.request.Request(
            f"http://{self._rest}/config", json.dumps(settings).encode(), {"Content-Type": "application/json"}, method="PATCH"
        )
        urllib.request.urlopen(request, timeout=10).close()

    def last_words(self) -> str:
        """The end of its log."""
        return self._patroni.last_words()

    def _postgres(self) -> int | None:
        """The first process of PostgreSQL, if it runs. It is not our child: Patroni daemonizes it."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            program = Path(f"/proc/{pid}/cwd").resolve()
        except (OSError, ValueError):
            return None
        return pid if program == self.data else None

    def _settings(self) -> dict[str, Any]:
        passwords = self.place.passwords
        listen = self.place.address(self.name)
        return {
            "scope": SCOPE,
            "name": self.name,
            "restapi": {"listen": self._rest, "connect_address": self._rest},
            "etcd3": {"hosts": [self.place.address(f"etcd{n}") for n in NODES]},
            "bootstrap": {
                "dcs": AGREED,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums", {"auth": "scram-sha-256"}],
            },
            "postgresql": {
                "listen": listen,
                "connect_address": listen,
                "data_dir": str(self.data),
                "bin_dir": str(self._programs.folder),
                "pgpass": str(self.folder / "pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": passwords["postgres"]},
                    "replication": {"username": "replicator", "password": passwords["replicator"]},
                },
                "pg_hba": [
                    "host replication replicator 127.0.0.1/32 scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                ],
                "parameters": {"unix_socket_directories": "", "cluster_name": self.name, "lc_messages": "C"},
                "basebackup": [{"checkpoint": "fast"}],
            },
            # On a real machine with a watchdog, set `mode: required` here (docs/cluster.md).
            "watchdog": {"mode": "off"},
        }


def _get(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        try:
            return dict(json.load(error)) if error.code == 503 else None  # it reports on itself even then
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
