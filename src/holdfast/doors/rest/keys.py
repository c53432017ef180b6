"""Keys that stand twice in an object of a JSON body: such a body is refused, because nobody can know which of the two was meant.

The decoder takes the last one in silence. Looking at every key costs as much as decoding, so a body is first compared with what it was read as:

    body ──decode──▶ value ──encode──▶ canonical          a key that stands twice is a colon more in the body than in the canonical form

As many colons on both sides: no key stands twice. More of them: a key does, or a default was written out, and then every key is looked at. What
stands inside a payload, a result or a note of progress is the caller's own, and kept byte for byte.
"""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from holdfast.engine import checks

_MAINS = ("payload", "result", "data", "progress", "body")  # the one large field that a body may have: JSON as it came
_LARGE_BYTES = 4_096
_REMEMBERED_BYTES = 512
_REMEMBERED = 4_096
_encode = msgspec.json.Encoder().encode
_clean: set[tuple[type, bytes]] = set()


class _Key:
    """A key of an object. Each is itself alone, so that none takes the place of an equal one."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _key(_: type, text: Any) -> _Key:
    return _Key(text)


_pairs = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=_key)
_entries = msgspec.json.Decoder(list[Raw])


class Shape:
    """Where in a type there are objects whose keys are ours: by field; `each` is that of a list's entries, `main` a field of any JSON."""

    __slots__ = ("each", "fields", "keyed", "least", "main")

    def __init__(self, keyed: bool, fields: dict[str, "Shape"], each: "Shape | None" = None, main: str | None = None) -> None:
        self.keyed = keyed
        self.fields = fields
        self.each = each
        self.main = main
        self.least = (
            2 * len(main) + 10 if main is not None else 0
        )  # bytes beside the main field that a key needs to stand twice


@cache
def shape_of(kind: Any) -> Shape | None:
    """The shape of a type; None where no object in it has keys of ours."""
    origin = get_origin(kind)
    if origin is Annotated:
        return shape_of(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return next((found for one in get_args(kind) if (found := shape_of(one)) is not None), None)
    if origin in (list, tuple):
        each = shape_of(get_args(kind)[0])
        return None if each is None else Shape(False, {}, each)
    if origin is dict:
        return Shape(True, {})
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    renamed = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    hints = get_type_hints(kind, include_extras=True)
    fields = {renamed[name]: found for name in renamed if (found := shape_of(hints[name])) is not None}
    return Shape(True, fields, None, next((name for name in _MAINS if name in renamed), None))


def check(body: bytes, value: Any, kind: Any) -> None:
    """Raise unless every key of ours stands once in this body, which was read as `value`."""
    if body.count(b":", 0, _LARGE_BYTES) < 2 and len(body) <= _LARGE_BYTES:
        return
    known = (type(value), body)
    if known in _clean:
        return  # workers ask in the same words again and again
    shape = shape_of(type(value) if isinstance(value, msgspec.Struct) else kind)
    if shape is not None:
        _look(body, value, shape)
    if len(body) <= _REMEMBERED_BYTES and shape is not None and shape.main is None:
        if len(_clean) >= _REMEMBERED:
            _clean.clear()
        _clean.add(known)


def _look(body: bytes, value: Any, shape: Shape) -> None:
    if shape.main is not None and isinstance(main := getattr(value, shape.main, None), Raw):
        size = memoryview(main).nbytes
        if len(body) - size < shape.least:
            return
        if size > _LARGE_BYTES:
            once(body.replace(bytes(main), b"0", 1), shape)
            return
    if (
        isinstance(value, msgspec.Struct) and b"\\u00" not in body and b'"run_at"' not in body
    ):  # what may be written with a colon less
        try:
            if _encode(value).count(b":") == body.count(b":"):
                return
        except (msgspec.MsgspecError, ValueError, OverflowError):
            pass  # a number that can be read and not be written
    once(body, shape)


def once(body: bytes, shape: Shape, at: str = "") -> None:
    """Look at every key of ours; the first that stands twice is named with its place."""
    if shape.each is not None:
        for index, entry in enumerate(_listed(body)):
            once(bytes(entry), shape.each, f"{at}[{index}]")
        return
    try:
        pairs = _pairs.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # null, or a text where an object might stand
    seen: set[str] = set()
    for key, value in pairs.items():
        place = f"{at}.{key.text}" if at else key.text
        if key.text in seen:
            raise checks.breach(place, "stands twice in the body")
        seen.add(key.text)
        if (inner := shape.fields.get(key.text)) is not None:
            once(bytes(value), inner, place)


def _listed(body: bytes) -> list[Raw]:
    try:
        return _entries.decode(body)
    except msgspec.MsgspecError:
        return []
