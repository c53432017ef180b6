"""The image of `deploy/Dockerfile`, built from the checkout by Podman and run by runc as its first lines say.

The base is not that of the registry, see `podman.py`; everything above it is real: the steps, the engine, its namespaces, its filter of system calls.
"""

import os
import re
import secrets
import shlex
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest
import trustme

from tests.system.containers import podman
from tests.system.containers.podman import BUILT, DOCKERFILE, Container
from tests.system.whole.servers import until

pytestmark = [pytest.mark.long(120), pytest.mark.timeout(1200)]

USER = 10001
VOLUME = "/var/lib/holdfast"
SECRET = secrets.token_hex(32)
Run = Callable[..., Container]


@pytest.fixture(scope="module")
def image() -> str:
    return podman.build()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secret of the first key, as the first lines of the Dockerfile make it."""
    file = tmp_path_factory.mktemp("secret") / "admin.key"
    file.write_text(SECRET)
    file.chmod(0o400)
    _give(file)
    return file


def _give(file: Path) -> None:
    os.chown(file, USER, USER)


def documented(volume: str, key: Path) -> list[str]:
    """The options of `docker run` in the first lines of the Dockerfile, for a free port, this volume and this secret."""
    comment = re.search(r"^#   docker run ((?:.*\\\n)*.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert comment is not None
    text = comment[1].replace("\\\n#", " ")
    for said, here in (
        ("127.0.0.1:4653:4653", "127.0.0.1::4653"),
        (f"holdfast:{VOLUME}", f"{volume}:{VOLUME}".removeprefix(":")),
        ("$PWD/admin.key", str(key)),
    ):
        assert said in text
        text = text.replace(said, here)
    *options, name = shlex.split(text)
    assert name == "holdfast"
    # Docker gives a read-only container no place to write to; Podman would give it /tmp, /run and /var/tmp.
    return [*options, "--read-only-tmpfs=false"]


@pytest.fixture
def run(image: str) -> Iterator[Run]:
    """Starts containers, which go with the test."""
    with _starting(image) as start:
        yield start


@contextmanager
def _starting(image: str) -> Iterator[Run]:
    made: list[Container] = []

    def start(*options: str, command: tuple[str, ...] = ()) -> Container:
        made.append(Container(*options, image=image, command=command))
        return made[-1]

    try:
        yield start
    finally:
        for container in reversed(made):
            container.remove()


@pytest.fixture
def volume(image: str) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    yield name
    podman.podman("volume", "rm", "--force", name)


@pytest.fixture
def served(run: Run, volume: str, key: Path) -> Container:
    """A server as documented, that is ready."""
    container = run(*documented(volume, key))
    ready(container)
    return container


@pytest.fixture(scope="module")
def shared(image: str, key: Path) -> Iterator[Container]:
    """As `served`, for all tests that leave it as it is."""
    with _starting(image) as start:
        container = start(*documented("", key))
        ready(container)
        yield container


def client(container: Container, **more: object) -> httpx.Client:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.Client(base_url=container.address(), headers=headers, trust_env=False, timeout=60, **more)  # type: ignore[arg-type]


def ready(container: Container) -> None:
    def answers() -> bool:
        assert container.inspect(".State.Running"), container.log
        try:
            with client(container) as calls:
                return calls.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, "it is ready")


def healthy(container: Container) -> bool:
    """What the HEALTHCHECK of the Dockerfile finds."""
    return podman.podman("healthcheck", "run", container.id, check=False).returncode == 0


def processes(container: Container) -> dict[int, dict[str, str]]:
    """What /proc says of each process in it."""
    text = container.execute("sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null", check=False).stdout
    found = [
        dict(line.split(":\t", 1) for line in one.splitlines())
        for one in re.split(r"(?=^Name:)", text, flags=re.MULTILINE)
        if one
    ]
    return {int(one["Pid"]): one for one in found if one["Name"] not in ("sh", "cat")}


def test_the_image_is_built_from_what_it_needs_and_holds_no_more(image: str):
    config = podman.podman("inspect", "--format", "{{.Config.User}} {{.Config.Volumes}} {{.Config.ExposedPorts}}", image).stdout
    assert config == "10001:10001 map[/var/lib/holdfast:{}] map[4653/tcp:{}]\n"
    listing = "find /build -mindepth 1 -maxdepth 2 -not -path '*/src/*' -not -path '*/__pycache__*' | sort; find /build -name __pycache__ -path '*src*'"
    context = podman.podman("run", "--rm", "--network", "none", BUILT, "sh", "-c", listing).stdout.split()
    assert [Path(name).name for name in context] == [
        "LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "requirements", "serve.txt", "src",
    ]  # fmt: skip
    look = "test ! -e /build && ls -A /var/lib/holdfast && ! command -v gcc make git curl && holdfast --version"
    told = podman.podman("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", look).stdout
    assert re.fullmatch(r"holdfast, version \S+\n", told)


def test_it_serves_keeps_jobs_over_a_stop_and_a_new_container_and_makes_its_first_key(run: Run, volume: str, key: Path):
    first = run(*documented(volume, key))
    ready(first)
    with client(first) as calls:
        assert calls.get("/v1/queues", headers={"Authorization": "Bearer no"}).status_code == 401
        assert calls.post("/v1/queues/mail/jobs", json={"payload": 7}).json()["durability"]["level"] == "disk"
    podman.podman("stop", first.id)
    assert (first.inspect(".State.ExitCode"), first.inspect(".State.OOMKilled")) == (0, False)
    podman.podman("start", first.id)
    ready(first)
    with client(first) as calls:
        assert calls.get("/v1/jobs/1").json()["payload"] == 7
    podman.podman("stop", first.id)
    second = run(*documented(volume, key))  # as after an update of the image
    ready(second)
    with client(second) as calls:
        (job,) = calls.post("/v1/leases", json={"queues": ["mail"]}).json()["jobs"]
        assert job["payload"] == 7


def test_sigterm_drains_it_within_its_grace(served: Container):
    with client(served) as calls:
        calls.post("/v1/queues/mail/jobs", json={"payload": 1})
        (job,) = calls.post("/v1/leases", json={"queues": ["mail"]}).json()["jobs"]
        host, port = served.address().removeprefix("http://").split(":")
        body = b'{"result": "done"}'
        with socket.create_connection((host, int(port)), timeout=60) as slow:
            head = f"POST /v1/leases/{job['lease']['token']}/conclude HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {SECRET}\r\n"
            slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            calls.get("/healthz")  # what came before is on its way
            stop = Thread(target=podman.podman, args=("stop", served.id))
            stop.start()
            until(lambda: "draining" in served.log, "it drains")
            slow.sendall(body)
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            stop.join(60)
    assert served.inspect(".State.ExitCode") == 0


def test_it_can_write_to_its_volume_only_and_has_no_rights(shared: Container):
    seen = processes(shared)
    assert len(seen) == 3, "process 1, the server and the keeper"
    for one in seen.values():
        assert one["Uid"].split() == one["Gid"].split() == [str(USER)] * 4
        assert {one[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (one["NoNewPrivs"], one["Seccomp"]) == ("1", "2")
    places = "find / \\( -path /proc -o -path /dev \\) -prune -o -type d -writable -print 2>/dev/null"
    writable = shared.execute("sh", "-c", places, check=False).stdout.split()
    assert {path for path in writable if not path.startswith(VOLUME)} == set()
    assert VOLUME in writable
    for user in ("", "0"):
        tried = shared.execute("sh", "-c", "touch /opt/holdfast/x /etc/x /tmp/x", check=False, user=user)
        assert tried.stderr.count("Read-only file system") == 3, tried.stderr


def test_process_1_collects_the_processes_that_lost_their_parent(shared: Container):
    before = set(processes(shared))
    shared.execute("sh", "-c", "for i in 1 2 3; do (sleep 0.2 & ) ; done")
    until(lambda: set(processes(shared)) == before, "no process and no zombie is left")
    assert all("Z" not in one["State"] for one in processes(shared).values())


def test_the_health_check_passes_while_it_answers_and_fails_when_it_hangs(shared: Container):
    until(lambda: healthy(shared), "it is healthy")
    (server,) = [pid for pid, one in processes(shared).items() if one["PPid"] == "1"]
    shared.execute("sh", "-c", f"kill -STOP {server}")
    try:
        assert not healthy(shared)
    finally:
        shared.execute("sh", "-c", f"kill -CONT {server}")
    until(lambda: healthy(shared), "it is healthy again")


def test_the_health_check_passes_over_tls_and_sighup_reloads_the_certificate(run: Run, volume: str, key: Path, tmp_path: Path):
    authority = trustme.CA()
    pem = tmp_path / "tls.pem"

    def certify() -> None:
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        pem.chmod(0o400)
        _give(pem)

    certify()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest keeps its folders to its user
    variables = [word for name in ("CERT", "KEY") for word in ("--env", f"HOLDFAST_TLS_{name}=/tls/tls.pem")]
    container = run(*documented(volume, key), "--volume", f"{tmp_path}:/tls:ro", *variables)
    until(lambda: "on https://" in container.log, "it serves TLS")
    until(lambda: healthy(container), "it is healthy")
    pem.unlink()
    certify()
    podman.podman("kill", "--signal", "HUP", container.id)
    until(lambda: "certificate" in container.log.partition("on https://")[2], "it says that it has reloaded it")
    podman.podman("stop", container.id)
    assert container.inspect(".State.ExitCode") == 0


def test_without_a_first_key_it_does_not_listen_on_the_network(run: Run):
    container = run("--network", "none")
    assert container.ended() == 2
    assert "HOLDFAST_ADMIN_KEY_FILE" in container.log, container.log


def test_a_worker_runs_in_it_too_and_drains_and_leaves_no_zombie(shared: Container, run: Run):
    with client(shared) as calls:
        jobs = [calls.post("/v1/queues/work/jobs", json={"payload": number}).json()["id"] for number in (1, 2)]
        program = "setsid sleep 0.2 & cat > /dev/null"
        worker = run(
            "--network", f"container:{shared.id}", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--no-healthcheck",
            "--env", "HOLDFAST_URL=http://127.0.0.1:4653", "--env", f"HOLDFAST_TOKEN={SECRET}",
            command=("worker", "exec", "--queue", "work", "--", "sh", "-c", program),
        )  # fmt: skip
        until(lambda: {calls.get(f"/v1/jobs/{job}").json()["state"] for job in jobs} == {"concluded"}, "the jobs are done")
    until(lambda: not [1 for one in processes(worker).values() if one["Name"] == "sleep"], "no process and no zombie is left")
    podman.podman("kill", "--signal", "TERM", worker.id)
    assert worker.ended() == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, 137), (signal.SIGSEGV, 139)])
def test_what_ends_the_server_ends_the_container_with_the_code_of_it(served: Container, sent: signal.Signals, code: int):
    (server,) = [pid for pid, one in processes(served).items() if one["PPid"] == "1"]
    served.execute("sh", "-c", f"kill -{sent.name.removeprefix('SIG')} {server}")
    assert served.ended() == code
