"""The peers measured in the same run, each with its durability named, because a queue that stores nothing is easily fast.

A peer that is not installed is skipped and named. The lives are those of `peerwire`: at the same number of callers as
Holdfast's single requests without pipelining, and in batches of the same size, pipelined.
"""

import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec

from bench.cases import tubes
from bench.child import Started, accepts
from bench.server import Commits
from bench.stage import Stage
from cluster.ports import free_port


class Peer(msgspec.Struct, frozen=True):
    """One peer in one durability."""

    name: str
    binary: str
    phase: str
    durability: str
    arguments: str

    def installed(self) -> str | None:
        """Where its program is, if anywhere."""
        return shutil.which(self.binary) or shutil.which(self.binary, path="/usr/sbin:/usr/local/sbin")

    def version(self) -> str:
        flag = "-v" if self.binary == "beanstalkd" else "--version"
        said = subprocess.run([self.installed() or self.binary, flag], capture_output=True, text=True, check=False)
        return said.stdout.strip().split(" sha=")[0]


PEERS = [
    Peer("beanstalkd in memory", "beanstalkd", "beanstalk", "none: in memory", "-l 127.0.0.1 -p {port}"),
    Peer("beanstalkd on disk", "beanstalkd", "beanstalk", "fsync each (-b -f0)", "-l 127.0.0.1 -p {port} -b . -f0"),
    Peer(
        "Redis",
        "redis-server",
        "redis",
        "fsync per event-loop turn (appendfsync always)",
        "--bind 127.0.0.1 --port {port} --dir . --save '' --appendonly yes --appendfsync always",
    ),
]


class PeerServer:
    """A running peer."""

    def __init__(self, peer: Peer, directory: Path) -> None:
        self.name, self.port = peer.name, free_port()
        self.tubes = self.port
        command = [peer.installed() or peer.binary, *shlex.split(peer.arguments.format(port=self.port))]
        self._started = Started(peer.name, command, directory, lambda: accepts(self.port))

    def roles(self) -> dict[int, str]:
        return {self._started.pid: "peer"}

    def commits(self) -> Commits:
        return Commits(None, None)

    def concluded(self) -> int | None:
        return None

    def said(self) -> str:
        return self._started.said()

    def stop(self) -> list[int]:
        return self._started.stop()


def measure_peer(peer: Peer, stage: Stage) -> None:
    """A peer's lives, single and in batches."""
    sizes = stage.sizes
    if peer.phase == "beanstalk":
        tubes(stage, "", stage.subject.port)
        return
    stage.play(peer.phase, callers=sizes.few, seconds=sizes.warm_s)
    stage.measure(f"life, {sizes.few} callers", peer.phase, callers=sizes.few, seconds=sizes.seconds)
    name = f"life, batches of {sizes.batch}"
    stage.measure(name, peer.phase, callers=sizes.batch_callers, batch=sizes.batch, seconds=sizes.seconds)
