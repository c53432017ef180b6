"""`deploy/compose`: held to the schema of Compose, and started by podman-compose.

One node is started in every run. Three nodes, where EVERY_CASE is set: etcd, PostgreSQL and HAProxy are then Debian's, under the names of the images
that the file asks for (PostgreSQL 17 instead of 18); Patroni's image is built on that, as its Dockerfile says. Containers find each other by name then,
which Podman 4 of Debian does with `golang-github-containernetworking-plugin-dnsname` and `dnsmasq-base`.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.every_case import EVERY_CASE
from tests.system.containers import podman, stand_ins
from tests.system.containers.podman import ROOT
from tests.system.whole.machine import need
from tests.system.whole.servers import until

pytestmark = [pytest.mark.long(60), pytest.mark.timeout(1800)]

FOLDER = ROOT / "deploy/compose"
FILES = ("compose.yaml", "one-node.yaml")
PUBLISHED = json.loads((Path(__file__).with_name("schemas") / "compose.json").read_text())
USER = 10001


def faults(compose: object) -> list[str]:
    """What the published schema has against it."""
    import jsonschema  # noqa: PLC0415  (1.5 s, which each worker would take to collect the tests)

    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(PUBLISHED).iter_errors(compose)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_compose_publishes_and_a_mistake_would_be_found(name: str):
    compose = yaml.safe_load((FOLDER / name).read_text())
    assert faults(compose) == []
    next(iter(compose["services"].values()))["readonly"] = True
    assert len(faults(compose)) == 1


class Project:
    """One compose file in a folder of its own, with a first key."""

    def __init__(self, folder: Path, file: str, port: int) -> None:
        self.name = f"test-{secrets.token_hex(4)}"
        self.folder = folder / "deploy/compose"
        self.url = f"http://127.0.0.1:{port}"
        self.key = secrets.token_hex(32)
        self._file = file
        shutil.copytree(FOLDER, self.folder)
        secret = self.folder / "admin.key"
        secret.write_text(self.key)
        secret.chmod(0o400)
        os.chown(secret, USER, USER)
        shutil.copy(FOLDER / "passwords.env.example", self.folder / "passwords.env")
        self._variables = {"PORT": str(port), "PATH": f"{Path(sys.executable).parent}:{podman.environment()['PATH']}"}

    def compose(self, *arguments: str) -> str:
        """Run `podman-compose` with it; what it printed."""
        label = f"--podman-run-args=--label={podman.LABEL}={os.getpid()}"
        command = ["podman-compose", label, "--project-name", self.name, "--file", self._file, *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=podman.environment() | self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.name}_{service}_1"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, headers={"Authorization": f"Bearer {self.key}"})

    def ready(self, within_s: float = 60) -> None:
        """Return when it accepts jobs."""

        def answers() -> bool:
            try:
                with self.client() as client:
                    return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        until(answers, "it is ready", within_s)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Project]:
    podman.build()
    project = Project(tmp_path, "one-node.yaml", _free_port())
    yield project
    project.compose("down", "--volumes", "--timeout", "0")


def test_one_node_keeps_its_jobs_when_it_is_taken_down_and_up_again(one: Project):
    one.compose("up", "--detach", "--no-build")
    one.ready()
    with one.client() as client:
        assert client.post("/v1/queues/mail/jobs", json={"payload": 5}).json()["durability"]["level"] == "disk"
    running = json.loads(podman.podman("inspect", one.container("holdfast")).stdout)[0]
    host = running["HostConfig"]
    assert (host["ReadonlyRootfs"], host["SecurityOpt"], host["PidsLimit"]) == (True, ["no-new-privileges"], 200)
    assert running["EffectiveCaps"] in (None, [])
    one.compose("down")
    one.compose("up", "--detach", "--no-build")
    one.ready()
    with one.client() as client:
        assert client.get("/v1/jobs/1").json()["payload"] == 5


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Project]:
    need("dnsmasq")
    podman.build()
    project = Project(tmp_path, "compose.yaml", 4660)
    stand_ins.build([f"{project.name}_pg{number}" for number in (1, 2, 3)])
    yield project
    project.compose("down", "--volumes", "--timeout", "0")


@pytest.mark.skipif(not EVERY_CASE, reason="three nodes with etcd, PostgreSQL and HAProxy take minutes: EVERY_CASE=1")
def test_three_nodes_lose_no_job_when_the_primary_is_killed(three: Project):
    three.compose("up", "--detach", "--no-build")
    three.ready(within_s=300)
    with three.client() as client:
        pushed = client.post("/v1/queues/mail/jobs", json={"payload": 5}).json()
        assert pushed["durability"] == {"level": "replicated", "replicas": 1}
        members = json.loads(podman.podman("exec", three.container("pg1"), "patronictl", "list", "--format", "json").stdout)
        (leader,) = [member["Member"] for member in members if member["Role"] == "Leader"]
        three.compose("kill", "--signal", "KILL", leader)
        said = {"payload": 6}

        def accepted() -> bool:
            again = client.post("/v1/queues/mail/jobs", json=said, headers={"Idempotency-Key": "six"})
            return again.status_code in (200, 201)

        until(accepted, "another PostgreSQL is the primary", 300)
        leased: list[int] = []

        def all_are_there() -> bool:
            answer = client.post("/v1/leases", json={"queues": ["mail"], "max": 10})
            leased.extend(job["payload"] for job in answer.json().get("jobs", []))
            return len(leased) >= 2

        until(all_are_there, "both jobs are leased", 60)
        assert sorted(leased) == [5, 6]
    for node in ("h1", "h2", "h3"):
        running = json.loads(podman.podman("inspect", three.container(node)).stdout)[0]
        assert (running["HostConfig"]["ReadonlyRootfs"], running["EffectiveCaps"] or []) == (True, [])
