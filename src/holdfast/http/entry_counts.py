"""Counts the entries of a large body before it is decoded: 17 MB can hold a million jobs, which take seconds and hundreds of MB
to decode.

The bounds are those of the schema, and the engine enforces them; this avoids decoding what it would refuse. The body is read
with a reduced type, in which only the lists are left:

    entries that are objects     counted as they come; one too many ends the reading
    entries that are texts       left as they stand, and their quotes counted: at most two for each, and one at least
"""

import itertools
import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Raw

from holdfast.errors import breach
from holdfast.limits import BATCH_FOLLOW_UPS, INTEREST_PAIRS

_PAIRS = 2 * INTEREST_PAIRS
_numbers = itertools.count()


class _TooMany(Exception):  # it is no error of the decoder's: it ends the reading
    """One more entry than a list may have."""


class _Counter:
    """Counts the entries of one list, or of all lists of one name if they are nested in entries."""

    __slots__ = ("field", "left", "most")

    def __init__(self, field: str, most: int) -> None:
        self.field, self.most, self.left = field, most, most

    def one_more(self) -> None:
        """One more of them was read."""
        self.left -= 1
        if self.left < 0:
            raise _TooMany


class _Sketch:
    """A type, or a union of types, reduced to its lists: `texts` are lists of texts, by field and most entries; `inner` lists
    of objects.
    """

    __slots__ = ("counters", "decoder", "inner", "kind", "texts")

    def __init__(self, *kinds: Any, after: Any = None) -> None:
        inside = after is not None
        self.texts: dict[str, tuple[str, int]] = {}
        self.inner: dict[str, tuple[str, _Sketch]] = {}
        self.counters: list[_Counter] = []
        hints: dict[str, Any] = {}
        for kind in kinds:
            of_kind = get_type_hints(kind, include_extras=True)
            hints |= {
                shown: of_kind[own] for own, shown in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
            }
        fields: list[tuple[str, Any, Any]] = []
        for number, (shown, hint) in enumerate(hints.items()):
            entry, most = _list_of(hint)
            name = f"f{number}"
            if entry is None or not most:
                continue
            if isinstance(entry, type) and issubclass(entry, msgspec.Struct):
                counter = _Counter(shown, BATCH_FOLLOW_UPS if inside else most)
                sketch = _Sketch(entry, after=lambda _, counter=counter: counter.one_more())
                self.inner[name] = shown, sketch
                self.counters += [counter, *sketch.counters]
                fields.append((name, list[sketch.kind], msgspec.field(name=shown, default_factory=list)))  # type: ignore[name-defined]
            else:
                self.texts[name] = shown, most
                fields.append((name, Raw, msgspec.field(name=shown, default=Raw(b"[]"))))
        space = {"__post_init__": after} if inside else {}
        self.kind = msgspec.defstruct(f"Sketch{next(_numbers)}", fields, namespace=space, gc=False)
        self.decoder = msgspec.json.Decoder(self.kind)

    def check(self, value: Any, at: str = "") -> None:
        """Raise where a list of texts has too many, in this value or in its entries."""
        for name, (shown, most) in self.texts.items():
            text = bytes(getattr(value, name))
            if text.count(b'"') - text.count(b'\\"') > 2 * most:
                what = f"1 to {INTEREST_PAIRS} pairs of patterns" if most == _PAIRS else f"at most {most} entries"
                raise breach(at + shown, f"must have {what}")
        for name, (shown, sketch) in self.inner.items():
            if sketch.texts or sketch.inner:
                for index, entry in enumerate(getattr(value, name)):
                    sketch.check(entry, f"{at}{shown}[{index}].")


def _list_of(hint: Any) -> tuple[Any, int]:
    """The type of a list's entries, and how many are allowed; None if it is not a list. Patterns are a list of pairs."""
    most = 0
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        most = next((note.extra_json_schema["maxItems"] for note in notes if _bounds_entries(note)), 0)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        found = [_list_of(one) for one in get_args(hint)]
        entry, inner_most = next((one for one in found if one[0] is not None), (None, 0))
        return entry, most or inner_most
    if origin in (list, tuple):
        entry = get_args(hint)[0]
        return (get_args(entry)[0] if get_origin(entry) is Annotated else entry), most
    if origin is dict:
        return str, _PAIRS
    return None, 0


def _bounds_entries(note: Any) -> bool:
    return isinstance(note, Meta) and bool(note.extra_json_schema) and "maxItems" in (note.extra_json_schema or {})


@cache
def _sketch_of(kind: Any) -> _Sketch | None:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if not all(isinstance(one, type) and issubclass(one, msgspec.Struct) for one in kinds):
        return None
    sketch = _Sketch(*kinds)
    return sketch if sketch.texts or sketch.inner else None


class _Member(str):
    """A key of an object, counted when it is read."""

    __slots__ = ()


def check_members(body: bytes, most: int, field: str) -> None:
    """Raise `InvalidRequest` where an object has more keys than this. What is no object is for the decoder to say."""
    left = most

    def count(_: type, key: Any) -> _Member:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooMany
        return _Member(key)

    try:
        msgspec.json.decode(body, type=dict[_Member, Raw], dec_hook=count)
    except _TooMany:
        raise breach(field, f"must have at most {most} entries") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return


def check(body: bytes, kind: Any) -> None:
    """Raise `InvalidRequest` where a list in this body has more entries than it may. What is no JSON of this type is for the decoder to say."""
    sketch = _sketch_of(kind)
    if sketch is None:
        return
    for counter in sketch.counters:
        counter.left = counter.most
    try:
        value = sketch.decoder.decode(body)
    except _TooMany:
        counter = next(counter for counter in sketch.counters if counter.left < 0)
        raise breach(counter.field, f"must have at most {counter.most} entries") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    sketch.check(value)
