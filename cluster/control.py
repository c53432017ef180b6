"""The connection of `cluster kill`, `replace` and `status` to the cluster, which runs in the foreground of another terminal.

One line of JSON each way over a Unix socket in the cluster's folder. Both sides change to that folder first, because the path
of a socket must be short.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.place import Place

LINE_BYTES = 1 << 20
ASK_S = 60

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class NotRunning(RuntimeError):
    """No cluster runs in this folder."""


@contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """The socket, for the length of a `with`."""
    place.control.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        with _inside(place.folder):
            listener.bind(place.control.name)
        place.control.chmod(0o600)
        listener.listen()
        try:
            yield listener
        finally:
            place.control.unlink(missing_ok=True)


def answer_one(listener: socket.socket, within_s: float, answer: Answer) -> None:
    """Answer one request if one arrives within this time; an error is an answer, too."""
    listener.settimeout(within_s)
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return
    with connection:
        connection.settimeout(within_s)
        try:
            asked = json.loads(connection.makefile("rb").readline(LINE_BYTES))
            try:
                said = answer(asked)
            except (LookupError, RuntimeError) as error:
                said = {"error": str(error.args[0] if error.args else error)}
            connection.sendall(json.dumps(said).encode() + b"\n")
        except (OSError, ValueError):
            return  # the peer has left, or sent an invalid request


def ask(place: Place, **question: Any) -> dict[str, Any]:
    """Ask the running cluster."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_S)
        try:
            with _inside(place.folder):
                connection.connect(place.control.name)
        except OSError as error:
            raise NotRunning(f"No cluster runs in {place.folder}. Start one: make cluster") from error
        connection.sendall(json.dumps(question).encode() + b"\n")
        said: dict[str, Any] = json.loads(connection.makefile("rb").readline(LINE_BYTES))
    if "error" in said:
        raise RuntimeError(said["error"])
    return said


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
