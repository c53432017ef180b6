"""A read whose caller leaves is given up: nobody is searched for, counted for or waited for who will not be told."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdfast.errors import Overloaded
from holdfast.limits import HALF_CLOSED_READ_S

Send = Callable[..., Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


async def while_here(app: App, scope: Any, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    """Let the framework answer, for as long as the caller is there. Raises `ConnectionResetError` when it has left, and `Overloaded` when
    it may have: it has closed its half, and is told, should it still listen.
    """
    leaving: asyncio.Future[Any] = asyncio.ensure_future(_left(receive))
    given = False

    async def received() -> MutableMapping[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.shield(leaving)
        return {"type": "http.disconnect"}

    answering: asyncio.Future[Any] = asyncio.ensure_future(app(scope, received, send))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        has_left = not answering.done() and leaving.result()
        if not answering.done() and not has_left:  # it may have left: the same bytes say either
            await asyncio.wait({answering}, timeout=HALF_CLOSED_READ_S)
        if answering.done():
            await answering
        elif has_left:
            raise ConnectionResetError("the caller left while it was answered")
        else:
            raise Overloaded(
                f"This read took more than {HALF_CLOSED_READ_S} s; a caller that has closed its half of the connection is not read"
                " for any longer.",
                retry_after_ms=1_000,
            )
    finally:
        leaving.cancel()
        answering.cancel()
        await asyncio.wait({answering})


async def _left(receive: Callable[[], Awaitable[Any]]) -> bool:
    """Wait until nothing more comes; whether the caller has left, or only says nothing more and may still read."""
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return not message.get("half_closed", False)
