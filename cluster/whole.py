"""A whole cluster on this machine: three etcd, three PostgreSQL under Patroni, three Holdfast nodes, HAProxy.

    client ─▶ HAProxy ─▶ h1 h2 h3 ─▶ n1 (primary) ─▶ n2, n3
                                      Patroni ◀──▶ etcd1 etcd2 etcd3

`Cluster` is the only one that starts and ends anything. It lives in the main thread of `python -m cluster up`.
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

START_S = 90  # of everything, on a slow machine
END_S = 15  # for each to end in good order
LOOK_S = 0.2
STANDBY = ("quorum_standby", "sync_standby")  # one that is merely a "replica" would never be promoted
COUNTING: LiteralString = """
SELECT string_agg(application_name, ' ') FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')
AND replay_lsn IS NOT NULL -- a base backup that is being taken bears the standby's name, and replays nothing
"""

Say = Callable[[str], None]


class Cluster:
    """Start it, break it, mend it, end it. `replicas` is K: how many standbys have a job before it is answered."""

    def __init__(self, place: Place, replicas: int = 1, say: Say = print) -> None:
        """Refuses where a program is missing; nothing is started yet."""
        self.place = place
        self.replicas = replicas
        self._say = say
        programs = find()
        self.etcd = [services.etcd(n, place) for n in NODES]
        self.nodes = [PostgresNode(n, place, programs) for n in NODES]
        self.proxy = services.proxy(place)
        self.with_holdfast = services.holdfast_knows_postgresql()
        self.holdfast = [services.holdfast(n, place, replicas) for n in NODES] if self.with_holdfast else []
        self._taken: set[str] = set()  # taken away on purpose, and so not missed

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
        """End all of it, in good order where it obeys: the callers first, then standbys, the primary, and etcd.

        A primary that ends together with its standbys would ask them in vain who is going to take over.
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
        """Wait until it is so; an end that nobody asked for is told at once."""

        def looked() -> bool:
            for one in self.missed():
                raise RuntimeError(f"{one.name} did not stay:\n{one.last_words()}")
            return bool(true())

        wait_until(looked, START_S, what, poll_s=LOOK_S)

    def missed(self) -> list[Child | PostgresNode]:
        """What has come to an end that nobody asked for."""
        return [one for one in self.parts() if one.ended and one.name not in self._taken]

    def tend(self) -> None:
        """Start a Holdfast node again that has ended by itself, as systemd would; tell of everything else once."""
        for one in self.missed():
            if one in self.holdfast:
                self._say(f"{one.name} has ended by itself, and is started again")
                one.start()
            else:
                self._say(f"{one.name} has ended by itself:\n{one.last_words()}")
                self._taken.add(one.name)

    def parts(self) -> list[Child | PostgresNode]:
        """Everything that runs, or should."""
        parts: list[Child | PostgresNode] = [*self.etcd, *self.nodes, self.proxy, *self.holdfast]
        return parts

    def machines(self) -> list[Child | PostgresNode]:
        """What can be taken away and replaced."""
        machines: list[Child | PostgresNode] = [*self.nodes, *self.holdfast]
        return machines

    # ------------------------------------------------------------------------------------------- what the nodes say

    def members(self) -> list[dict[str, Any]]:
        """The PostgreSQL nodes as Patroni sees them, from whoever answers; without etcd, as each Patroni sees its own."""
        for node in self.nodes:
            if node.alive and (members := node.cluster()):
                return members
        return [own for node in self.nodes if node.alive and (own := node.own()) is not None]

    @property
    def primary(self) -> str | None:
        """The name of the PostgreSQL node that takes writes."""
        leaders = [member for member in self.members() if member["role"] == "leader" and member["state"] == "running"]
        return str(leaders[0]["name"]) if leaders else None

    def ready(self, name: str) -> bool:
        """Whether a Holdfast node takes new jobs."""
        return _answers(f"http://{self.place.address(name)}/readyz")

    def _all_stream(self) -> bool:
        """Whether there is a primary, and both others count for a commit and may take over."""
        standbys = {one["name"] for one in self.members() if one["role"] in STANDBY and one["state"] == "streaming"}
        return self.primary is not None and len(standbys & self.counting()) == len(NODES) - 1

    def counting(self) -> set[str]:
        """The standbys that count for a commit, as the primary says; Patroni tells of a lost node what it said last, for up to `ttl`."""
        return set(self._ask(COUNTING).split())

    def status(self) -> dict[str, Any]:
        """Everything by name: PostgreSQL with role, state, lag in bytes and whether it counts for a commit; the others with whether they answer."""
        seen = {str(member["name"]): member for member in self.members()}
        counting = self.counting()
        return {
            "replicas": self.replicas,
            "postgresql": {
                node.name: {
                    "runs": node.alive,
                    "role": seen.get(node.name, {}).get("role", "-"),
                    "state": seen.get(node.name, {}).get("state", "no answer" if node.alive else "gone"),
                    "lag": seen.get(node.name, {}).get("lag", 0),
                    "counts": node.name in counting,
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

    # ------------------------------------------------------------------------------------------------ break and mend

    def kill(self, name: str | None = None) -> str:
        """`kill -9` of a node, n1 … n3 or h1 … h3; without a name, of the PostgreSQL primary. Gives its name."""
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
        """Start a fresh node, with nothing but its name, in a lost one's place. Gives its name; it is not waited for."""
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
        """Let commits wait for as many standbys as Holdfast proves; a cluster of an earlier start may have had another K."""
        leader = next(node for node in self.nodes if node.name == self.primary)
        needed = max(self.replicas, 1)
        leader.agree({"synchronous_node_count": needed})
        self._wait(lambda: waiting(self._ask("SHOW synchronous_standby_names")).number == needed, "synchronous_standby_names")

    def _ask(self, query: LiteralString) -> str:
        """Ask the primary; empty where there is none just now."""
        try:
            with self._superuser() as connection:
                row = connection.execute(query).fetchone()
        except psycopg.OperationalError:
            return ""
        return str(row[0] or "") if row else ""

    def _superuser(self) -> psycopg.Connection[Any]:
        """A connection to the primary that may do everything."""
        address = self.place.address(self.primary or self.nodes[0].name)
        url = f"postgresql://postgres:{self.place.passwords['postgres']}@{address}/postgres"
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def _make_role(self) -> None:
        """Holdfast's role and database, as little as it needs, unless they are there."""
        place = self.place
        with self._superuser() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'holdfast'").fetchone() is None:
                connection.execute(f"CREATE ROLE holdfast LOGIN PASSWORD '{place.passwords['holdfast']}'".encode())
                connection.execute("GRANT pg_monitor TO holdfast")
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'holdfast'").fetchone() is None:
                connection.execute("CREATE DATABASE holdfast OWNER holdfast")


def _answers(url: str) -> bool:
    """Whether this is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
