"""Who the client says it is."""

import os


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries the token; none without one. What is not given is read from `HOLDFAST_TOKEN`."""
    given = token if token is not None else os.environ.get("HOLDFAST_TOKEN", "")
    if not given.isascii() or not given.isprintable():
        raise ValueError("a token is printable ASCII")  # and never shown
    return {"Authorization": f"Bearer {given}"} if given else {}
