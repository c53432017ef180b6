"""Handing a connection over to another protocol."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.http.app import App
    from holdfast.http.connection import Connection


class Upgrade(Protocol):
    """Who takes connections over; `path` is where."""

    path: str

    def open(
        self, app: "App", connection: "Connection", method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> asyncio.Protocol:
        """Take the connection, and say who has it now; raises `Refused`, and has then left it alone."""
        ...


class Refused(Exception):
    """The upgrade is refused: `error` says why, `status` is the error's own if None, `is_known` whether the path exists."""

    def __init__(self, error: HoldfastError, status: int | None = None, *, is_known: bool = True) -> None:
        super().__init__(error.detail)
        self.error = error
        self.status = status
        self.is_known = is_known
