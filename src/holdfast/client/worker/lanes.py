"""How the handlers of a worker share its room: those of a batch have a session of their own each, which asks for jobs of its type alone, as many as go
into a batch; all others share one.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.client.worker.runner import Handler
from holdfast.client.worker.session import Bounds, Session


@dataclass(frozen=True, slots=True)
class Lane:
    """The types that one session asks for (None among them: all others), and how many of their jobs it has at once."""

    types: Callable[[], Iterable[str | None]]
    bounds: Bounds


def lanes_of(handlers: Mapping[str | None, Handler], bounds: Bounds) -> list[Lane]:
    """The lanes of these handlers; one at least."""

    def shared() -> list[str | None]:
        return [type for type, handler in handlers.items() if not handler.together]

    own = [
        Lane(lambda type=type: [type], Bounds(handler.together, 0, bounds.grace_s))  # type: ignore[misc]
        for type, handler in handlers.items()
        if handler.together
    ]
    return own if own and not shared() else [Lane(shared, bounds), *own]


async def all_of(sessions: Sequence[Session]) -> None:
    """Run them until all have ended; when one fails, the others wind down, and its error is raised."""
    if len(sessions) == 1:
        return await sessions[0].run()
    running = [asyncio.create_task(session.run()) for session in sessions]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for session in sessions:  # harmless where it has ended
            session.stop()
        await asyncio.gather(*running)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
