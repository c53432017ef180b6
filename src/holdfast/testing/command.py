"""`holdfast test-server`: servers for the tests of programs in other environments, by lines of JSON; see remote.py."""

import os
import sys
from typing import Any

import click
import msgspec

from holdfast import __version__
from holdfast.setting_values import ConfigError
from holdfast.testing.local import LocalServer


class _Servers:
    def __init__(self) -> None:
        self._server: LocalServer | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        if asked["do"] == "start":
            self.stop()
            self._server = LocalServer(**asked["settings"]).start()
            return {"url": self._server.url}
        if asked["do"] == "stop":
            self.stop()
            return {}
        if self._server is None:
            raise ValueError("no server is started")
        if asked["do"] == "advance":
            self._server.advance(asked["ms"] / 1_000)
        return {"now_ms": round(self._server.now.timestamp() * 1_000)}

    def stop(self) -> None:
        """Stop what is there."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()


@click.command("test-server")
def serve() -> None:
    """Serve the tests of a program, for its pytest plugin, by commands on standard input until that ends."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever else is written goes to the log
    servers = _Servers()
    out.write(msgspec.json.encode({"holdfast": __version__}) + b"\n")
    for line in sys.stdin.buffer:
        try:
            said = servers.answer(msgspec.json.decode(line))
        except (TypeError, ValueError, RuntimeError, ConfigError) as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        out.write(msgspec.json.encode(said) + b"\n")
    servers.stop()
