"""uvicorn as this program wants it: on the stack that was measured, and without signals of its own."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import httptools
import uvicorn
import uvloop


class Uvicorn(uvicorn.Server):
    """uvicorn with our signals: its own would stop it without telling the engine."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are answered."""
        await super().startup(sockets)
        self._on_started()


def check_stack() -> None:
    """Refuse to run on anything slower than what was measured: no silent fall-back to h11 or to asyncio's own loop."""
    if not httptools.__version__ or not hasattr(uvloop, "run") or uvicorn.__version__.split(".")[:2] != ["0", "54"]:
        raise SystemExit(f"holdfast: needs uvicorn 0.54 with httptools and uvloop; found uvicorn {uvicorn.__version__}.")
