"""What middleware of others' systems has in common: which exceptions are failures, and what has room in the meta of a job."""

import asyncio
from collections.abc import Mapping

from holdfast.client.worker import BackOff, GiveBack
from holdfast.limits import META_BYTES


def is_failure(error: BaseException) -> bool:
    """Whether an attempt that ends so has failed; else its job is only given back."""
    return not isinstance(error, GiveBack | BackOff | asyncio.CancelledError)


def kind_of(error: BaseException) -> str:
    """The name of its class."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def with_room(meta: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The meta of a job with these as far as there is room: nothing is refused because somebody watches."""
    found = dict(meta)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in found.items())
    for name, value in more.items():
        size += len(name.encode()) + len(value.encode())
        if name not in found and size <= META_BYTES:
            found[name] = value
    return found
