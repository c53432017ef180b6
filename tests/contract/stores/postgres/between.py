"""What stands between Holdfast and PostgreSQL in some places: PgBouncer, and a proxy that greets with a number of its own."""

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

from cluster.ports import free_port
from cluster.postgres import PostgresServer
from cluster.processes import give, unprivileged, wait_until
from tests.system.whole.machine import need, tool_path


@contextmanager
def listening(command: Sequence[str | None], port: int, user: str = "holdfast", database: str = "holdfast") -> Iterator[str]:
    """A program in front of PostgreSQL, until it lets a client through; the URL of a store that goes by it."""
    url = f"postgresql://{user}@127.0.0.1:{port}/{database}"
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _lets_through(url), 10, "it does not listen")
        yield url
    finally:
        process.kill()
        process.wait()


def _lets_through(url: str) -> bool:
    with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=2):
        return True
    return False


@contextmanager
def bouncer(
    folder: Path, server: PostgresServer, mode: str, user: str, database: str, *more: str, per: str = ""
) -> Iterator[str]:
    """PgBouncer of Debian in this pool mode, with `more` lines of its file and `per` after its database's connection."""
    need("pgbouncer")
    port, users, file = free_port(), folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{user}" ""\n')
    lines = [
        "[databases]", f"{database} = host=127.0.0.1 port={server.port} {per}", "[pgbouncer]", "listen_addr = 127.0.0.1",
        f"listen_port = {port}", "unix_socket_dir =", "auth_type = trust", f"auth_file = {users}", f"pool_mode = {mode}", *more,
    ]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    give(folder)
    with listening([*unprivileged(folder), tool_path("pgbouncer"), str(file)], port, user, database) as url:
        yield url


@contextmanager
def greeter(server: PostgresServer) -> Iterator[int]:
    """A proxy that gives each client a connection of its own to the server, and greets it with another process number than the
    server's, as Neon's proxy does; its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_accept, args=(door, server.port), daemon=True).start()
        try:
            yield door.getsockname()[1]
        finally:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)


def _accept(door: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = door.accept()
            there = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_pass_on, args=(client, there), daemon=True).start()
            threading.Thread(target=_greet, args=(there, client), daemon=True).start()


def _greet(server: socket.socket, client: socket.socket) -> None:
    with closing(server.makefile("rb")) as said, suppress(OSError, struct.error):
        kind = b""
        while kind != b"Z":  # ready for a query: the greeting is over
            kind, size = struct.unpack("!ci", said.read(5))
            body = said.read(size - 4)
            if kind == b"K":
                pid, secret = struct.unpack("!ii", body)
                body = struct.pack("!ii", pid + 1_000_000, secret)
            client.sendall(struct.pack("!ci", kind, size) + body)
        while some := said.read1(65536):
            client.sendall(some)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while some := client.recv(65536):
            server.sendall(some)
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
