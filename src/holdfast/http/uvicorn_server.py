"""uvicorn as this program wants it: on the stack that was measured, and without signals of its own."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import uvicorn
import uvloop

from holdfast.tls import TlsListener

_SPEAK_TLS = b"This port speaks TLS: the URL begins with https://.\n"
_PLAINLY = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
    len(_SPEAK_TLS),
    _SPEAK_TLS,
)


class Uvicorn(uvicorn.Server):
    """uvicorn with our signals: its own would stop it without telling the engine. With a `context`, over TLS."""

    def __init__(
        self, config: uvicorn.Config, on_started: Callable[[], None], context: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._context = context
        self.handshakes_failed: dict[str, int] = Counter()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are answered."""
        if self._context is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            (listener,) = sockets or []
            servers: list[Any] = [TlsListener(listener, self._protocol, self._context, _PLAINLY, self.handshakes_failed)]
            self.servers = servers
        self._on_started()

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made


def check_stack() -> None:
    """Refuse to run on anything slower than what was measured: no silent fall-back to h11 or to asyncio's own loop."""
    if not httptools.__version__ or not hasattr(uvloop, "run") or uvicorn.__version__.split(".")[:2] != ["0", "54"]:
        raise SystemExit(f"holdfast: needs uvicorn 0.54 with httptools and uvloop; found uvicorn {uvicorn.__version__}.")
