"""What the server sent, as it sent it: so that `--json` prints the JSON of the API, and fields that this version does not know, too.

Remembered is the last answer: the whole of it, and the things in its lists.
"""

import contextlib
from typing import Any

import msgspec

_last: dict[int, tuple[Any, bytes]] = {}
"""By the identity of a thing, which is held here so that no other gets it."""


def as_sent(thing: Any) -> msgspec.Raw | None:
    """The JSON that it came in; None if it is not of the last answer."""
    found = _last.get(id(thing))
    return None if found is None else msgspec.Raw(found[1])


def remember(answer: Any, body: bytes) -> None:
    """The last answer, and what it was decoded from."""
    _last.clear()
    with contextlib.suppress(msgspec.DecodeError, RecursionError):  # contents that are no JSON: as they were understood, then
        _keep(answer, body)


def _keep(answer: Any, body: bytes) -> None:
    if isinstance(answer, msgspec.Struct):
        _last[id(answer)] = answer, body
        names = zip(answer.__struct_encode_fields__, answer.__struct_fields__, strict=True)
        lists = {name: getattr(answer, field) for name, field in names}
    elif isinstance(answer, dict):
        lists = answer
    else:
        return
    lists = {name: things for name, things in lists.items() if isinstance(things, list) and things}
    if not any(isinstance(things[0], msgspec.Struct) for things in lists.values()):
        return
    sent = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for name, things in lists.items():
        if isinstance(things[0], msgspec.Struct):
            for thing, item in zip(things, msgspec.json.decode(sent[name], type=list[msgspec.Raw]), strict=True):
                _last[id(thing)] = thing, bytes(item)
