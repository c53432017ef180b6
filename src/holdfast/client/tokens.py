"""Headers of requests, and the client's authentication, which is one of them."""

import os
from typing import Any

import msgspec


class Hidden(str):
    """A text that no representation shows: not that of a client, nor of a variable in a traceback that shows them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


class HidesToken(msgspec.Struct):
    """A struct whose `token` no representation shows, so that no log and no error report that has local variables gives a lease away."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, Hidden() if name == "token" else getattr(self, name)) for name in self.__struct_fields__]


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
