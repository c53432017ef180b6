"""Outcomes of attempts in batches: how many go into one, and how each entry of one came out, over HTTP and on a channel."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, UnsetType

from holdfast.client.refusals import problem, refusal
from holdfast.client.retry import decode
from holdfast.client.types import Conclude, Extend, Extended, Fail, Outcome, Release
from holdfast.errors import HoldfastError
from holdfast.limits import BATCH_VERBS

Entry = Conclude | Fail | Release | Extend
Ended = Outcome | Extended | HoldfastError
_BATCH_BYTES = 2 << 20  # of results and what follows: well below what one message of a channel may have


def size_of(entry: Entry) -> int:
    """About how many bytes an entry takes in a request; outcomes are JSON by now."""
    if isinstance(entry, Fail):
        error = entry.error
        return len(entry.reason) + (0 if isinstance(error, UnsetType) else len(error.message) + len(error.traceback))
    parts: list[Any] = [entry.result, *entry.then] if isinstance(entry, Conclude) else [getattr(entry, "progress", None)]
    return sum(len(memoryview(part)) for part in parts if isinstance(part, Raw))


def portion(entries: Sequence[Entry]) -> int:
    """How many of these, the first first, one request carries."""
    size = count = 0
    for entry in entries[:BATCH_VERBS]:
        size += size_of(entry)
        if count and size > _BATCH_BYTES:
            break
        count += 1
    return count


def ended(entry: Any, said: msgspec.Raw) -> Ended:
    """The outcome of an entry, decoded once; a refusal has a `code`, which no outcome has."""
    text = bytes(said)
    if b'"code"' in text and (refused := problem(text)) is not None:
        return refusal(refused)
    return decode(Extended, text) if isinstance(entry, Extend) else decode(Outcome, text)
