"""A whole cluster on this machine: three etcd, three PostgreSQL under Patroni, three Holdfast nodes, HAProxy.

    client ─▶ HAProxy ─▶ h1 h2 h3 ─▶ n1 (primary) ─▶ n2, n3
                                      Patroni ◀──▶ etcd1 etcd2 etcd3

Only `Cluster` starts and stops processes. It runs in the main thread of `python -m cluster up`.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, LiteralString

import psycopg

from cluster import services
from cluster.child import Child
from cluster.patroni import PostgresNode
from cluster.place import NODES, Place
from cluster.processes import wait_until
from cluster.programs import find
from holdfast.stores.postgres.doctor import waiting

START_S = 90  # for everything, on a slow machine
END_S = 15  # for each to stop cleanly
LOOK_S = 0.2
STANDBY = ("quorum_standby", "sync_standby")  # Patroni never promotes one that is only a "replica"
SYNCHRONOUS: LiteralString = """
SELECT string_agg(application_name, ' ') FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')
AND replay_lsn IS NOT NULL -- a base backup in progress has the standby's name, but replays nothing
"""

Say = Callable[[str], None]


class Cluster:
    """Start, kill, replace and stop nodes. `replicas` is K: how many standbys have a job before it is answered."""

    def __init__(self, place: Place, replicas: int = 1, say: Say = print) -> None:
        """Raises if a program is missing; starts nothing."""
        self.place = place
        self.replicas = replicas
        self._say = say
        programs = find()
        self.etcd = [services.etcd(n, place) for n in NODES]
        self.nodes = [PostgresNode(n, place, programs) for n in NODES]
        self.proxy = services.proxy(place)
        self.with_holdfast = services.holdfast_knows_postgresql()
        self.holdfast = [services.holdfast(n, place, replicas) for n in NODES] if self.with_holdfast else []
        self._taken: set[str] = set()  # killed on purpose, so their end is expected

    # ----------------------------------------------------------------------------------------------- start and end

    def start(self) -> None:
        """Start everything and wait until it serves."""
        for member in self.etcd:
            member.start()
        self._wait(lambda: all(_answers(f"http://{self.place.address(one.name)}/health") for one in self.etcd), "etcd")
        self._say("etcd agrees; PostgreSQL starts …")
        for node in self.nodes:
            node.start()
        self._wait(self._all_stream, "PostgreSQL under Patroni")
        self._agree_on_replicas()
        self._make_role()
        self._say(f"{self.primary} is the primary, two standbys stream; Holdfast starts …")
        self.proxy.start()
        for one in self.holdfast:
            one.start()
        if self.with_holdfast:
            self._wait(lambda: all(self.ready(one.name) for one in self.holdfast), "Holdfast")
            self._wait(lambda: _answers(f"{self.place.proxy_url}/readyz"), "HAProxy")

    def close(self) -> None:
        """Stop all of it, cleanly if possible: the callers first, then standbys, the primary, and etcd.

        A primary that stops together with its standbys would wait for one of them to take over.
        """
        primary = self.primary
        standbys = [node for node in self.nodes if node.name != primary]
        last = [node for node in self.nodes if node.name == primary]
        for group in ([self.proxy, *self.holdfast], standbys, last, self.etcd):
            for one in group:
                one.ask_to_end()
            for one in group:
                one.wait(END_S)

    def _wait(self, true: Callable[[], object], what: str) -> None:
        """Wait until `true()` holds; raises at once if a process has ended by itself."""

        def looked() -> bool:
            for one in self.missed():
                raise RuntimeError(f"{one.name} did not stay:\n{one.last_words()}")
            return bool(true())

        wait_until(looked, START_S, what, poll_s=LOOK_S)

    def missed(self) -> list[Child | PostgresNode]:
        """The processes that have ended by themselves."""
        return [one for one in self.parts() if one.ended and one.name not in self._taken]

    def tend(self) -> None:
        """Restart a Holdfast node that has ended by itself, as systemd would; report any other process once."""
        for one in self.missed():
            if one in self.holdfast:
                self._say(f"{one.name} has ended by itself, and is started again")
                one.start()
            else:
                self._say(f"{one.name} has ended by itself:\n{one.last_words()}")
                self._taken.add(one.name)

    def parts(self) -> list[Child | PostgresNode]:
        """All processes, running or not."""
        parts: list[Child | PostgresNode] = [*self.etcd, *self.nodes, self.proxy, *self.holdfast]
        return parts

    def machines(self) -> list[Child | PostgresNode]:
        """The nodes that can be killed and replaced."""
        machines: list[Child | PostgresNode] = [*self.nodes, *self.holdfast]
        return machines

    # ------------------------------------------------------------------------------------------- what the nodes say

    def members(self) -> list[dict[str, Any]]:
        """The PostgreSQL nodes by the report of the first Patroni that answers; without etcd, by each Patroni's own report."""
        for node in self.nodes:
            if node.alive and (members := node.cluster()):
                return members
        return [own for node in self.nodes if node.alive and (own := node.own()) is not None]

    @property
    def primary(self) -> str | None:
        """The name of the PostgreSQL node that accepts writes."""
        leaders = [member for member in self.members() if member["role"] == "leader" and member["state"] == "running"]
        return str(leaders[0]["name"]) if leaders else None

    def ready(self, name: str) -> bool:
        """Whether a Holdfast node accepts new jobs."""
        return _answers(f"http://{self.place.address(name)}/readyz")

    def _all_stream(self) -> bool:
        """Whether there is a primary, and both others are synchronous standbys that may be promoted."""
        standbys = {one["name"] for one in self.members() if one["role"] in STANDBY and one["state"] == "streaming"}
        return self.primary is not None and len(standbys & self.synchronous_standbys()) == len(NODES) - 1

    def synchronous_standbys(self) -> set[str]:
        """The synchronous standbys, as the primary reports them; Patroni repeats the last report of a lost node for up to `ttl`."""
        return set(self._ask(SYNCHRONOUS).split())

    def status(self) -> dict[str, Any]:
        """All parts by name: PostgreSQL with role, state, lag in bytes and whether it is a synchronous standby; others with
        whether they answer.
        """
        seen = {str(member["name"]): member for member in self.members()}
        synchronous = self.synchronous_standbys()
        return {
            "replicas": self.replicas,
            "postgresql": {
                node.name: {
                    "runs": node.alive,
                    "role": seen.get(node.name, {}).get("role", "-"),
                    "state": seen.get(node.name, {}).get("state", "no answer" if node.alive else "gone"),
                    "lag": seen.get(node.name, {}).get("lag", 0),
                    "synchronous": node.name in synchronous,
                }
                for node in self.nodes
            },
            "holdfast": {one.name: {"runs": one.alive, "ready": self.ready(one.name)} for one in self.holdfast},
            "etcd": {
                one.name: {"runs": one.alive, "healthy": _answers(f"http://{self.place.address(one.name)}/health")}
                for one in self.etcd
            },
            "haproxy": {"runs": self.proxy.alive},
        }

    # ------------------------------------------------------------------------------------------------ kill and replace

    def kill(self, name: str | None = None) -> str:
        """`kill -9` of a node, n1 … n3 or h1 … h3; without a name, of the PostgreSQL primary. Returns its name."""
        name = name or self.primary
        if name is None:
            raise LookupError("There is no primary just now.")
        one = self._named(name)
        if not one.alive:
            raise LookupError(f"{name} is not running.")
        self._taken.add(name)
        one.kill()
        return name

    def replace(self, name: str | None = None) -> str:
        """Start an empty node in place of a lost one. Returns its name without waiting for it."""
        lost = [one.name for one in self.machines() if one.ended]
        name = name or (lost[0] if lost else None)
        if name is None:
            raise LookupError("No node is lost.")
        one = self._named(name)
        if one.alive:
            raise LookupError(f"{name} is running.")
        if isinstance(one, PostgresNode):
            one.forget()
        one.start()
        self._taken.discard(name)
        return name

    def _named(self, name: str) -> Child | PostgresNode:
        for one in self.machines():
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.machines())
        raise LookupError(f"There is no node {name}; there are {known}.")

    def _agree_on_replicas(self) -> None:
        """Make commits wait for as many standbys as Holdfast requires, as the cluster may have been started with another K
        before.
        """
        leader = next(node for node in self.nodes if node.name == self.primary)
        needed = max(self.replicas, 1)
        leader.agree({"synchronous_node_count": needed})
        self._wait(lambda: waiting(self._ask("SHOW synchronous_standby_names")).number == needed, "synchronous_standby_names")

    def _ask(self, query: LiteralString) -> str:
        """Query the primary; empty if there is none now."""
        try:
            with self._superuser() as connection:
                row = connection.execute(query).fetchone()
        except psycopg.OperationalError:
            return ""
        return str(row[0] or "") if row else ""

    def _superuser(self) -> psycopg.Connection[Any]:
        """A superuser's connection to the primary."""
        address = self.place.address(self.primary or self.nodes[0].name)
        url = f"postgresql://postgres:{self.place.passwords['postgres']}@{address}/postgres"
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def _make_role(self) -> None:
        """Create Holdfast's role and database, with the least privileges it needs, unless they exist."""
        place = self.place
        with self._superuser() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'holdfast'").fetchone() is None:
                connection.execute(f"CREATE ROLE holdfast LOGIN PASSWORD '{place.passwords['holdfast']}'".encode())
                connection.execute("GRANT pg_monitor TO holdfast")
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'holdfast'").fetchone() is None:
                connection.execute("CREATE DATABASE holdfast OWNER holdfast")


def _answers(url: str) -> bool:
    """Whether the URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
