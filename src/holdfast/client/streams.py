"""Server-sent events, line by line."""

import msgspec

from holdfast.client.refusals import Unreachable
from holdfast.client.retry import BACKOFF_MAX_S, BACKOFF_S
from holdfast.client.types import Event
from holdfast.errors import HoldfastError


class EventReader:
    """Assembles lines into events; skips comments and fields that this client does not know."""

    def __init__(self) -> None:
        self._event = ""

    def take(self, line: bytes) -> Event | None:
        """One line; the event that it completes."""
        name, _, value = line.decode(errors="replace").rstrip("\r\n").partition(": ")
        if name == "event":
            self._event = value
        elif name == "data" and self._event in ("job", "operation", "batch"):
            return msgspec.json.decode(value, type=Event)
        elif name == "data" and self._event == "gap":
            return Event(event="gap", missed=msgspec.json.decode(value, type=dict[str, int]).get("missed"))
        return None


def backoff(failures: int) -> float:
    """How long to wait before a stream is reopened."""
    return min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(failures, 10))


def stream_refusal(error: Exception) -> HoldfastError:
    """Why there is no stream: the server's refusal, or that no server was reached."""
    return error if isinstance(error, HoldfastError) else Unreachable(f"no stream of events can be opened: {error}")
