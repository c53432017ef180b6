"""The client's authentication."""

import os


class Hidden(str):
    """A text that no representation shows: not that of a client, nor of a variable in a traceback that shows them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


def bearer(token: str | None) -> dict[str, str]:
    """The header with the token; none without one. By default the token is read from `HOLDFAST_TOKEN`."""
    given = Hidden(token if token is not None else os.environ.get("HOLDFAST_TOKEN", ""))
    if not given.isascii() or not given.isprintable():
        raise ValueError("a token is printable ASCII")  # and never shown
    return {"Authorization": Hidden(f"Bearer {given}")} if given else {}
