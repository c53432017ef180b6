"""How each entry of a batch came out, over HTTP and on a channel."""

from typing import Any

import msgspec

from holdfast.client.refusals import problem, refusal
from holdfast.client.retry import decode
from holdfast.client.types import Extend, Extended, Outcome
from holdfast.errors import HoldfastError

Ended = Outcome | Extended | HoldfastError


def ended(entry: Any, said: msgspec.Raw) -> Ended:
    """The outcome of an entry, decoded once; a refusal has a `code`, which no outcome has."""
    text = bytes(said)
    if b'"code"' in text and (refused := problem(text)) is not None:
        return refusal(refused)
    return decode(Extended, text) if isinstance(entry, Extend) else decode(Outcome, text)
