"""Waiting, as this client does it."""

import time


def pause(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)
