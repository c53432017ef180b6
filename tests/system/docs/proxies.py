"""nginx and HAProxy, started with the configurations of the guide: its places for addresses and files are filled in, and nothing else."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.ports import free_port
from tests.system.docs.conftest import Running
from tests.system.docs.pages import block, read
from tests.system.whole.machine import need, tool_path

GUIDE = "docs/guides/behind-a-proxy.md"


@dataclass(frozen=True)
class Proxy:
    """Where a proxy answers, over TLS, and the file of the authority that vouches for it."""

    port: int
    authority: Path


def program(name: str) -> str:
    need(name)
    return str(tool_path(name))


def replaced(text: str, **parts: tuple[str, str]) -> str:
    """The snippet with its places for addresses and files filled in; each stands in it once."""
    for old, new in parts.values():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for jobs.example and this machine, which is its own authority, and its key."""
    certificate, key = folder / "jobs.crt", folder / "jobs.key"
    names = "subjectAltName=DNS:jobs.example,IP:127.0.0.1"
    command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=jobs.example", "-addext", names]
    subprocess.run(
        [program("openssl"), *command, "-out", certificate, "-keyout", key], capture_output=True, timeout=60, check=True
    )
    return certificate, key


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 20
        while not listens(port):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def nginx(running: Running, location: str = "/") -> Iterator[Proxy]:
    port, folder = free_port(), running.folder
    certificate, key = certified(folder)
    (folder / "people").write_text("anna:{PLAIN}change-me\n")
    snippet = replaced(
        block(read(GUIDE), "nginx"),
        server=("127.0.0.1:4653", f"127.0.0.1:{running.port}"),
        listen=("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        certificate=("/etc/ssl/jobs.example.crt", str(certificate)),
        key=("/etc/ssl/jobs.example.key", str(key)),
        people=("/etc/nginx/jobs.htpasswd", str(folder / "people")),
        location=("location / {", f"location {location} {{"),
    )
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = (
        f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} {snippet} }}"
    )
    (folder / "nginx.conf").write_text(whole)
    with started([program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")], port):
        yield Proxy(port, certificate)


@contextmanager
def haproxy(running: Running) -> Iterator[Proxy]:
    port = free_port()
    certificate, key = certified(running.folder)
    both = running.folder / "jobs.pem"
    both.write_text(certificate.read_text() + key.read_text())
    snippet = replaced(
        block(read(GUIDE), "haproxy"),
        server=("127.0.0.1:4653", f"127.0.0.1:{running.port}"),
        bind=("bind :443", f"bind 127.0.0.1:{port}"),
        certificate=("/etc/haproxy/jobs.example.pem", str(both)),
    )
    path = running.folder / "haproxy.cfg"
    path.write_text(snippet + "\n")
    with started([program("haproxy"), "-db", "-f", str(path)], port):
        yield Proxy(port, certificate)
