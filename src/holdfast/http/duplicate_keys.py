"""Duplicate keys in an object of a JSON body: such a body is refused, because it is ambiguous.

The decoder silently takes the last one, and checking every key costs as much as decoding. So it is done only if it may matter:

    {"payload": …}                            too little stands beside the payload for a second key
    {"type": "mail", "payload": …}            what stands beside it was seen before: a producer says it in the same words each time
    others, many jobs, many verbs             as many colons as in what was read, written anew: a key that stands twice is one more

What stands inside a payload, a result or a note of progress is the caller's own, and kept byte for byte.
"""

import re
import threading
import types
from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from holdfast.errors import breach

_MAINS = ("payload", "result", "data", "progress", "body")  # the one large field that a body may have: JSON as it came
_LEAST_BYTES = 13  # {"a":1,"a":1}
_ENDS = (b",", b"}", b" ", b"\t", b"\n", b"\r")  # what may stand behind a value
_REMEMBERED_BYTES = 512
_REMEMBERED = 1_024  # bodies, of all types together: callers repeat a few, and what strangers send takes half a MB at most
_COUNTED_BYTES = 2_048  # in so short a body, to count is cheaper than to look
_LONGEST_NAME = 64  # characters of a misspelt name; a longer one is no slip
_STEP = re.compile(r"\[|[^.\[\]]+(?![^\[]*\])")
_encode = msgspec.json.Encoder().encode
_NOT_SEEN = object()


class _Key(str):
    """A key of an object, checked when it is decoded."""

    __slots__ = ()


class _StandsTwice(Exception):  # it is no error: it ends the reading
    """A key came for the second time: what is behind it need not be read."""


class _Pairs(threading.local):
    """Reads objects. The first key that stands twice ends it, so that a body of such keys costs nothing."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._decoder = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=self._key)

    def _key(self, _: type, text: Any) -> _Key:
        if text in self._seen:
            raise _StandsTwice(text)
        self._seen.add(text)
        return _Key(text)

    def of(self, body: bytes, at: str) -> dict[_Key, Raw]:
        """The keys of an object and their values; raises `InvalidRequest` if one is duplicated."""
        self._seen.clear()
        try:
            return self._decoder.decode(body)
        except _StandsTwice as twice:
            raise breach(_place(at, str(twice)), "is given twice in the body") from None


def _place(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


_pairs = _Pairs()
_entries = msgspec.json.Decoder(list[Raw])


class Shape:
    """Where in a type there are objects whose keys are ours: by field; `each` is that of a list's entries, `main` a field of any JSON.

    `least`: so many bytes beside the main field does a second key need. `exact`: written anew, a value has no key that was not in the body,
    but for `loose` fields: a moment may be written with other colons. `inner` are fields that may hold loose ones themselves.
    `clean`: what was looked at, where it is short.
    """

    __slots__ = ("clean", "each", "exact", "fields", "inner", "least", "loose", "main", "opening")

    def __init__(
        self, fields: dict[str, "Shape"], each: "Shape | None" = None, main: str | None = None, exact: bool = False
    ) -> None:
        self.clean: set[bytes] = set()
        self.loose: list[Callable[[Any], Any]] = []
        self.inner: list[tuple[Callable[[Any], Any], Shape]] = []
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
    shape = Shape(fields, None, main, kind.__struct_config__.omit_defaults)
    for name in renamed:
        found = shape_of(hints[name])
        if _is_loose(hints[name]):
            shape.loose.append(attrgetter(name))
        elif found is not None and found is not KEYED:
            shape.inner.append((attrgetter(name), found))
    return shape


def _is_loose(kind: Any) -> bool:
    """Whether a value of this type may be written with other colons than it came with."""
    if get_origin(kind) is Annotated:
        return _is_loose(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        kinds = get_args(kind)
        return any(map(_is_loose, kinds)) or sum(shape_of(one) is not None for one in kinds) > 1
    shape = shape_of(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None
    return kind in (datetime, Any) or (shape is not None and not shape.exact)


_of_structs: dict[type, Shape | None] = {}
_remembering: list[Shape] = []  # once for each text that is remembered


def _shape_for(value: Any, kind: Any) -> Shape | None:
    if not isinstance(value, msgspec.Struct):
        return shape_of(kind)
    shape = _of_structs[type(value)] = shape_of(type(value))
    return shape


def check(body: bytes, value: Any, kind: Any) -> None:
    """Raise unless every key of ours stands once in this body, which was read as `value`."""
    if len(body) < _LEAST_BYTES:
        return
    shape: Any = _of_structs.get(type(value), _NOT_SEEN)
    if shape is _NOT_SEEN:
        shape = _shape_for(value, kind)
    if shape is None:
        return
    if shape.main is None or type(main := getattr(value, shape.main, None)) is not Raw:
        if body not in shape.clean:
            _look(body, value, shape, body, body)
        return
    size = len(main)
    if len(body) - size < shape.least:
        return
    given = bytes(main)
    opens = body.find(shape.opening)
    begins = opens + len(shape.opening)
    if body[begins : begins + 1] == b" ":
        begins += 1
    behind = body[begins + size :]
    stands_there = opens >= 0 and body.startswith(given, begins) and behind.startswith(_ENDS)  # 1 is also how 12 begins
    if not stands_there:
        _look(body, value, shape, body, body)
        return
    beside = body[:begins] + behind
    if beside not in shape.clean:
        _look(body, value, shape, beside, b"%b0%b" % (body[:begins], behind))


def _look(body: bytes, value: Any, shape: Shape, beside: bytes, short: bytes) -> None:
    """Count the keys, or look at each. `beside` is what stands beside the main field, `short` the body with 0 in that field's place."""
    known = len(beside) <= _REMEMBERED_BYTES
    countable = shape.exact and (len(body) <= _COUNTED_BYTES or not known)
    if not (countable and _as_many(body, value, shape)):
        once(short, shape)
    if known:
        _remember(shape, beside)


def _remember(shape: Shape, beside: bytes) -> None:
    if len(_remembering) >= _REMEMBERED:
        for one in _remembering:
            one.clean.clear()
        _remembering.clear()
    _remembering.append(shape)
    shape.clean.add(beside)


def _as_many(body: bytes, value: Any, shape: Shape) -> bool:
    """Whether the body has as many colons as the value written anew. Not asked where something may be written with a colon less, or more."""
    if (b"\\" in body and b"\\u00" in body) or _has_loose((value,), shape):
        return False
    try:
        return _encode(value).count(b":") == body.count(b":")
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return False  # a number that can be read and not be written


def _has_loose(values: Sequence[Any], shape: Shape) -> bool:
    """Whether one of these has something in a loose field."""
    if any(any(map(get, values)) for get in shape.loose):
        return True
    for get, inner in shape.inner:
        found = filter(None, map(get, values))
        if inner.each is None:
            if _has_loose(list(found), inner):
                return True
        elif _has_loose(list(chain.from_iterable(found)), inner.each):
            return True
    return False


def once(body: bytes, shape: Shape, at: str = "") -> None:
    """Look at every key of ours; the first that stands twice is named with its place."""
    if shape.each is not None:
        for index, entry in enumerate(_listed(body)):
            once(bytes(entry), shape.each, f"{at}[{index}]")
        return
    try:
        pairs = _pairs.of(body, at)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # null, or a text where an object might stand
    for key, inner in shape.fields.items():
        if (value := pairs.get(_Key(key))) is not None:
            once(bytes(value), inner, _place(at, key))


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
