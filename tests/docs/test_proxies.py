"""The snippets for proxies and for systemd do what the page says."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.docs.conftest import Running
from tests.docs.pages import block, read

PEOPLE = {"Authorization": "Basic " + base64.b64encode(b"anna:change-me").decode()}
Serve = Callable[..., Running]


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def replaced(text: str, **parts: str) -> str:
    """The snippet with its places for addresses and files filled in; each stands in it once."""
    for old, new in parts.values():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def started(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def nginx(running: Running, location: str = "/") -> Iterator[str]:
    port, folder = free_port(), running.folder
    (folder / "people").write_text("anna:{PLAIN}change-me\n")
    snippet = replaced(
        block(read("docs/operations.md"), "nginx"),
        server=("127.0.0.1:4653", f"127.0.0.1:{running.port}"),
        listen=("listen 80;", f"listen 127.0.0.1:{port};"),
        people=("/etc/nginx/jobs.htpasswd", str(folder / "people")),
        location=("location / {", f"location {location} {{"),
    )
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = (
        f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} {snippet} }}"
    )
    (folder / "nginx.conf").write_text(whole)
    with started([program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")], port) as url:
        yield url


@contextmanager
def haproxy(running: Running) -> Iterator[str]:
    port = free_port()
    snippet = replaced(
        block(read("docs/operations.md"), "haproxy"),
        server=("127.0.0.1:4653", f"127.0.0.1:{running.port}"),
        bind=("bind :80", f"bind 127.0.0.1:{port}"),
    )
    path = running.folder / "haproxy.cfg"
    path.write_text(snippet + "\n")
    with started([program("haproxy"), "-db", "-f", str(path)], port) as url:
        yield url


def call(url: str, body: object = None, **headers: str) -> Any:
    named = {"Host": "jobs.example", "Content-Type": "application/json", **PEOPLE, **headers}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, named), timeout=80) as answer:
        return json.load(answer)


def lives_through(url: str) -> None:
    """A job's life, a wait, a large body, a stream, and who is kept out."""
    put = call(f"{url}/v1/queues/mail/jobs", {"payload": "x" * ((1 << 20) - 2)})
    (job,) = call(f"{url}/v1/leases", {"queues": ["mail"], "wait_ms": 1000})["jobs"]
    assert job["id"] == put["id"]
    assert call(f"{url}/v1/leases/{job['lease']['token']}/conclude", {"result": 1})["state"] == "concluded"
    began = time.monotonic()
    assert call(f"{url}/v1/leases", {"queues": ["none"], "wait_ms": 1500})["jobs"] == []
    assert time.monotonic() - began > 1.4
    stream = urllib.request.Request(f"{url}/v1/stream", headers={"Host": "jobs.example", **PEOPLE})
    with urllib.request.urlopen(stream, timeout=10) as events:
        assert events.readline() == b": holdfast\n"
        call(f"{url}/v1/queues/mail/jobs", {})
        assert b"event: job" in events.readline() + events.readline()
    assert call(f"{url}/v1/leases", {"queues": ["none"]}, Origin="http://jobs.example") == {"jobs": []}
    assert refused(f"{url}/v1/leases", Origin="http://elsewhere.example") == 403
    assert refused(f"{url}/v1/queues", Authorization="") == 401


def refused(url: str, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        call(url, None if url.endswith("queues") else {"queues": ["none"]}, **headers)
    return error.value.code


def test_a_job_lives_behind_the_nginx_of_the_page(serve: Serve):
    with nginx(serve("--allowed-hosts", "jobs.example")) as url:
        lives_through(url)


def test_a_job_lives_behind_the_nginx_of_the_page_under_a_prefix(serve: Serve):
    with nginx(serve("--allowed-hosts", "jobs.example", "--root-path", "/queue"), "/queue/") as url:
        lives_through(f"{url}/queue")


def test_a_job_lives_behind_the_haproxy_of_the_page(serve: Serve):
    with haproxy(serve("--allowed-hosts", "jobs.example")) as url:
        lives_through(url)


def test_systemd_understands_the_unit_of_the_page(tmp_path: Path):
    unit = block(read("docs/operations.md"), "ini")
    command = "/opt/holdfast/.venv/bin/holdfast"
    assert unit.count(command) == 1
    path = tmp_path / "holdfast.service"
    installed = Path(sys.executable).with_name("holdfast")
    path.write_text(unit.replace(command, str(installed)).replace("User=holdfast", "User=root") + "\n")
    verdict = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    about = [line for line in (verdict.stdout + verdict.stderr).splitlines() if "holdfast" in line]
    assert not about
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    config = subprocess.run([installed, "config", *start.split()[2:]], capture_output=True, text=True, timeout=60, check=True)
    assert 'store = "sqlite:////var/lib/holdfast/jobs.db"' in config.stdout
