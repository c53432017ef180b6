"""Cookies of a request, read from its head without a framework."""


def cookie_in(header: bytes | None, name: str) -> str | None:
    """The value of one cookie in a `Cookie` header; None if it is missing, or there more than once."""
    if header is None:
        return None
    found = [
        value.strip()
        for part in header.decode("latin-1").split(";")
        if (pair := part.partition("="))[0].strip() == name and (value := pair[2]) is not None
    ]
    return found[0] if len(found) == 1 else None
