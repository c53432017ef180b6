"""Waiting, as this client does it."""

import asyncio


async def pause(seconds: float) -> None:
    """Sleep."""
    await asyncio.sleep(seconds)
