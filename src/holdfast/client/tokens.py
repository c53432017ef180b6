"""Headers of requests, and the client's authentication, which is one of them."""

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


def header_line(name: str, value: str) -> Hidden:
    """A header as it is sent. Raises `ValueError` for one that would break the request."""
    if not value.isprintable() or not (value.isascii() or max(value) <= "\xff"):
        raise ValueError(f"The value of the header {name} has characters that no header can have.")
    return Hidden(f"{name}: {value}\r\n")
