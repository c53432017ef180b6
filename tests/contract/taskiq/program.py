"""Tasks of a worker process: `python -m taskiq worker program:broker`."""

import asyncio
import os
from pathlib import Path

from holdfast.taskiq import HoldfastBroker

broker = HoldfastBroker(os.environ["BROKER"], queue=os.environ["QUEUE"], lease_s=2)


@broker.task("note")
async def note(text: str, seconds: float = 0) -> None:
    with Path(os.environ["NOTES"]).open("a") as file:  # noqa: ASYNC230  (a few bytes)
        file.write(f"{text}\n")
    await asyncio.sleep(seconds)
