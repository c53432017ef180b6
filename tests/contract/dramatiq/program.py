"""Actors of a worker process: `python -m dramatiq program`."""

import os
import time
from pathlib import Path

import dramatiq

from holdfast.dramatiq import HoldfastBroker

broker = HoldfastBroker(os.environ["BROKER"], prefix=os.environ["PREFIX"], lease_s=2)
dramatiq.set_broker(broker)


@dramatiq.actor
def note(text: str, seconds: float = 0) -> None:
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(f"{text}\n")
    time.sleep(seconds)
