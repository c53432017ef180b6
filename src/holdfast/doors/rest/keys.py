"""Keys that stand twice in an object of a JSON body: such a body is refused, because nobody can know which of the two was meant.

The decoder takes the last one in silence, and to look at every key costs as much as to decode. So it is done only where it may matter:

    {"payload": …}                            too little stands beside the payload for a second key
    {"type": "mail", "payload": …}            what stands beside it was looked at before: a producer says it in the same words each time
    many jobs, many verbs                     as many colons as in what was read, written anew: a key that stands twice is one more

What stands inside a payload, a result or a note of progress is the caller's own, and kept byte for byte.
"""

import re
import types
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from holdfast.engine import checks

_MAINS = ("payload", "result", "data", "progress", "body")  # the one large field that a body may have: JSON as it came
_LEAST_BYTES = 13  # {"a":1,"a":1}
_REMEMBERED_BYTES = 512
_REMEMBERED = 4_096
_LONGEST_NAME = 64  # characters of a misspelt name; a longer one is no slip
_STEP = re.compile(r"\[|[^.\[\]]+(?![^\[]*\])")
_encode = msgspec.json.Encoder().encode
_clean: set[tuple[Any, bytes]] = set()


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
    """Where in a type there are objects whose keys are ours: by field; `each` is that of a list's entries, `main` a field of any JSON.

    `least`: so many bytes beside the main field does a second key need. `exact`: written anew, a value has no key that was not in the body.
    """

    __slots__ = ("each", "exact", "fields", "least", "main", "opening")

    def __init__(
        self, fields: dict[str, "Shape"], each: "Shape | None" = None, main: str | None = None, exact: bool = False
    ) -> None:
        self.fields = fields
        self.each = each
        self.main = main
        self.exact = exact
        self.opening = b'"%b":' % main.encode() if main is not None else b""
        self.least = 2 * len(main) + 10 if main is not None else 0


KEYED = Shape({})
"""An object whose keys are ours, and nothing in it."""


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
        return None if each is None else Shape({}, each)
    if origin is dict:
        return KEYED
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    renamed = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    hints = get_type_hints(kind, include_extras=True)
    fields = {renamed[name]: found for name in renamed if (found := shape_of(hints[name])) is not None}
    main = next((name for name in _MAINS if name in renamed), None)
    return Shape(fields, None, main, kind.__struct_config__.omit_defaults)


def check(body: bytes, value: Any, kind: Any) -> None:
    """Raise unless every key of ours stands once in this body, which was read as `value`."""
    if len(body) < _LEAST_BYTES:
        return
    shape = shape_of(type(value) if isinstance(value, msgspec.Struct) else kind)
    if shape is None:
        return
    beside = body
    if shape.main is not None and type(main := getattr(value, shape.main, None)) is Raw:
        given = bytes(main)
        if len(body) - len(given) < shape.least:
            return
        beside, body = _beside(body, shape.opening, given)
    known = len(beside) <= _REMEMBERED_BYTES
    if known and (shape, beside) in _clean:
        return
    if known or not (shape.exact and _as_many(body, value)):
        once(body, shape)
    if known:
        _remember(shape, beside)


def _remember(shape: Shape, beside: bytes) -> None:
    if len(_clean) >= _REMEMBERED:
        _clean.clear()
    _clean.add((shape, beside))


def _beside(body: bytes, main: bytes, given: bytes) -> tuple[bytes, bytes]:
    """What stands beside the main field, which begins right behind its name and a colon; and the body with 0 in its place, or as it is."""
    begins = body.find(main) + len(main)
    if body[begins : begins + 1] == b" ":
        begins += 1
    if not body.startswith(given, begins):
        return body, body
    before, behind = body[:begins], body[begins + len(given) :]
    return before + behind, b"%b0%b" % (before, behind)


def _as_many(body: bytes, value: Any) -> bool:
    """Whether the body has as many colons as the value written anew. Not asked where something may be written with a colon less, or more."""
    if b"\\u00" in body or b'"run_at"' in body or b'"retry"' in body:
        return False
    try:
        return _encode(value).count(b":") == body.count(b":")
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return False  # a number that can be read and not be written


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


def nearest(kind: Any, place: str, name: str) -> str | None:
    """The name that a misspelt field of the object at this place, such as `jobs[1].retry`, was probably meant to have."""
    if len(name) > _LONGEST_NAME:
        return None
    for step in _STEP.findall(place):
        kind = _within(kind, step)
    names = [one for struct in _structs(kind) for one in struct.__struct_encode_fields__]
    begun = [one for one in names if name and one.startswith(f"{name}_")]  # the unit was left out
    found = begun or get_close_matches(name, names, 1, 0.7)
    return found[0] if found else None


def _structs(kind: Any) -> list[Any]:
    """The kinds of object that may stand here."""
    if get_origin(kind) is Annotated:
        return _structs(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [struct for one in get_args(kind) for struct in _structs(one)]
    return [kind] if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else []


def _within(kind: Any, step: str) -> Any:
    """The type of what stands in a field, or, for `[…]`, in a list."""
    if get_origin(kind) is Annotated:
        return _within(get_args(kind)[0], step)
    if get_origin(kind) in (Union, types.UnionType):
        return next((found for one in get_args(kind) if (found := _within(one, step)) is not None), None)
    if step == "[":
        return get_args(kind)[0] if get_origin(kind) in (list, tuple) else None
    for struct in _structs(kind):
        for name, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True):
            if encoded == step:
                return get_type_hints(struct, include_extras=True)[name]
    return None


def _listed(body: bytes) -> list[Raw]:
    try:
        return _entries.decode(body)
    except msgspec.MsgspecError:
        return []
