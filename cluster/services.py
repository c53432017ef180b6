"""The services around PostgreSQL: etcd for Patroni, Holdfast's nodes, and HAProxy in front of all of them."""

from __future__ import annotations

import shutil
import sys
from dataclasses import fields
from pathlib import Path

from cluster.child import Child
from cluster.place import NODES, Place
from cluster.programs import Missing
from holdfast.config import Config

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str, how: str) -> str:
    """A program of the system, or one installed by pip beside our Python."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{SEARCHED}")
    if found is None:
        raise Missing(f"{name} is not here. {how}")
    return found


def etcd(number: int, place: Place) -> Child:
    """One member of three."""
    command = program("etcd", "`make cluster` installs it; or: apt install etcd-server")
    name = f"etcd{number}"
    ours, peers = f"http://{place.address(name)}", f"http://{place.address(f'peer{number}')}"
    options = {
        "name": name,
        "data-dir": str(place.folder / name),
        "listen-client-urls": ours,
        "advertise-client-urls": ours,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": ",".join(f"etcd{n}=http://{place.address(f'peer{n}')}" for n in NODES),
        "initial-cluster-token": str(place.folder),
        # Slow enough for a machine that also runs everything else: the defaults are 100 and 1000 ms.
        "heartbeat-interval": "250",
        "election-timeout": "2500",
        "log-level": "warn",
    }
    return Child(name, [command, *(f"--{key}={value}" for key, value in options.items())], _log(place, name))


def holdfast_knows_postgresql() -> bool:
    """Whether this version of Holdfast has a store on PostgreSQL."""
    return "replicas" in {setting.name for setting in fields(Config)}


def holdfast(number: int, place: Place, replicas: int) -> Child:
    """One Holdfast node: stateless, equal to the others. The password of the store is not visible in the list of processes."""
    name = f"h{number}"
    command = [sys.executable, "-m", "holdfast", "serve", "--port", str(place.ports[name]), "--replicas", str(replicas)]
    return Child(name, command, _log(place, name), {"HOLDFAST_STORE": place.store})


def proxy(place: Place) -> Child:
    """HAProxy: Holdfast's nodes on one port, and the PostgreSQL primary on another for inspection."""
    command = program("haproxy", "apt install haproxy")
    file = place.folder / "haproxy.cfg"
    file.write_text(PROXY.format(**_places(place)))
    return Child("haproxy", [command, "-db", "-f", str(file)], _log(place, "haproxy"))


def _log(place: Place, name: str) -> Path:
    return place.folder / "logs" / f"{name}.log"


def _places(place: Place) -> dict[str, str]:
    def servers(line: str) -> str:
        return "\n    ".join(
            line.format(n=n, h=place.address(f"h{n}"), p=place.address(f"n{n}"), rest=place.ports[f"patroni{n}"]) for n in NODES
        )

    return {
        "proxy": place.address("proxy"),
        "primary": place.address("primary"),
        "holdfast": servers("server h{n} {h} check"),
        "postgres": servers("server n{n} {p} check port {rest}"),
    }


PROXY = """\
global
    maxconn 2000

defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 75s    # longer than the longest wait, 55 s
    default-server inter 500ms fall 2 rise 1
    option redispatch
    retries 3
    retry-on conn-failure    # nothing was sent yet; a request that was sent is repeated by the caller, with its key

frontend jobs
    bind {proxy}
    use_backend any if {{ nbsrv(ready) eq 0 }}
    default_backend ready

backend ready
    balance leastconn
    option httpchk GET /readyz
    {holdfast}

# While no node accepts new jobs (the primary is being replaced), the nodes themselves refuse them, and workers are served.
backend any
    option httpchk GET /healthz
    {holdfast}

listen primary
    mode tcp
    bind {primary}
    option httpchk GET /primary
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
    {postgres}
"""
