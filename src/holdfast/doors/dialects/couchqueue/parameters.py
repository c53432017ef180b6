"""The parameters of a call, from the query or the body.

CouchQueue's clients send forms, and its documentation names no other way: so the query, a form of either kind and a JSON body
are all accepted, and become texts by name. A value of a JSON body becomes its JSON text, and a string its content: so `data`
may be an object or a string that contains one, and is stored byte for byte. Empty and null count as not given.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from holdfast import limits
from holdfast.doors.rest import bodies, surrogates
from holdfast.errors import InvalidRequest, MalformedJson, UnsupportedMediaType, breach
from holdfast.http import duplicate_keys, entry_counts
from holdfast.http.multipart import content_type_of, parts_of
from holdfast.http.request import Request
from holdfast.http.urlencoded import pairs_of
from holdfast.limits import COUNTED_BODY_BYTES
from holdfast.routing.interests import EVERYTHING, Match

_FIELDS = 100
_COMMAS = 10_000  # between names of queues, of which each counts once
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_YES = frozenset(("true", "1", "yes", "y", "on", "t"))
_NO = frozenset(("false", "0", "no", "n", "off", "f", "null", "none", "undefined", ""))
_REASON = "failReason"
_MS_FROM = 1e11  # as seconds this is the year 5138, as milliseconds it is 1973

_SECONDS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?\Z")
_string = msgspec.json.Decoder(str)
_patterns = msgspec.json.Decoder(dict[str, str])


class _Hash(msgspec.Struct):
    """Any object; its members are not decoded."""


_hash = msgspec.json.Decoder(_Hash)


@dataclass(frozen=True)
class Parameters:
    """What a caller gave, by name, and its idempotency key."""

    given: dict[str, str]
    key: bytes | None = None

    def get(self, name: str) -> str | None:
        """A parameter, or None."""
        return self.given.get(name) or None

    def need(self, name: str) -> str:
        """A parameter that has to be there."""
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"Error: {name} is a required parameter for this action", field=name)
        return value

    def flag(self, name: str) -> bool:
        """A switch in any usual spelling; off when it is not there."""
        text = self.given.get(name, "").strip().lower()
        if text not in _YES and text not in _NO:
            raise InvalidRequest(f"{name} must be true,false", field=name)
        return text in _YES

    def one_of(self, name: str, *allowed: str) -> str:
        """A parameter that is one of these words."""
        value = self.need(name)
        if value not in allowed:
            raise InvalidRequest(f"{name} must be {','.join(allowed)}", field=name)
        return value

    def names(self, name: str) -> bool:
        """Whether a parameter is given, even without a value."""
        return name in self.given

    def asks_for(self, name: str) -> bool:
        """Whether a flag is set: by its name alone, or with any value that does not mean no."""
        return self.names(name) and (self.given[name] == "" or self.given[name].strip().lower() not in _NO)

    def data(self) -> bytes:
        """The task's data: a JSON object, byte for byte."""
        data = self.need("data").encode()
        try:
            _hash.decode(data)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest("data must be a JSON hash", field="data") from None
        bodies.check_json("data", data)
        return data

    def interests(self) -> Match:
        """What a queue wants: `*`, or pairs of patterns."""
        text = self.get("interests") or self.get("interest")  # the text's own examples spell it both ways
        if text is None:
            text = self.need("interests")
        if text.strip().strip('"') == EVERYTHING:
            return EVERYTHING
        if len(text) > COUNTED_BODY_BYTES:
            entry_counts.check_members(text.encode(), limits.INTEREST_PAIRS, "interests")
        try:
            patterns = _patterns.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest("interests must be * or a JSON hash of regexes", field="interests") from None
        duplicate_keys.once(text.encode(), duplicate_keys.KEYED, "interests")
        return patterns

    def queues(self) -> tuple[str, ...]:
        """Queues in their order, each once."""
        text = self.need("queues")
        if text.count(",") > _COMMAS:
            raise breach("queues", f"must name at most {limits.QUEUES_PER_LEASE} queues")
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if not names:
            raise InvalidRequest("Error: queues is a required parameter for this action", field="queues")
        if EVERYTHING in names:
            raise InvalidRequest("queues must be named; * is not allowed", field="queues")
        return names

    def run_at(self) -> int | None:
        """When the task may run, in milliseconds; None is now. Seconds are expected; a value that is only plausible as
        milliseconds is taken as such.
        """
        text = self.given.get("runAt", "").strip().lower()
        if text in ("", "null", "now"):
            return None
        moment = float(text) if _SECONDS.match(text) is not None else -1
        if moment < 0:
            raise InvalidRequest("runAt must be a unix timestamp in seconds", field="runAt")
        at = round(moment if moment >= _MS_FROM else moment * 1_000)
        if at > limits.RUN_AT_MAX:
            raise breach("runAt", "must be before the year 10000")
        return at


async def read(request: Request) -> Parameters:
    """The parameters of a call; where both have one, the body's counts."""
    given = dict(await _fields(request.query_string))
    kind, _ = content_type_of(request)
    if kind == _MULTIPART:
        given.update(await _parts(request))
    else:
        body = request.body
        if bodies.is_json(kind) or (kind == _FORM and body.lstrip().startswith(b"{")):  # curl calls every body a form
            given.update(_members(body))
        elif kind == _FORM:
            given.update(await _fields(body))
        elif body:
            raise UnsupportedMediaType(f"A body must be a form or JSON, not {kind[:100]}.")
    return Parameters(given, request.headers.get(b"idempotency-key"))


def _members(body: bytes) -> Iterable[tuple[str, str]]:
    if len(body) > COUNTED_BODY_BYTES:
        entry_counts.check_members(body, _FIELDS, "body")
    try:
        members, mark = bodies.decode(body, dict[str, Raw]), ""
    except MalformedJson:
        found = surrogates.repaired(body)
        if found is None:
            raise
        members, mark = bodies.decode(found[0], dict[str, Raw]), found[1]
    for name, value in members.items():
        text = bytes(value).strip()
        if mark and surrogates.is_broken(value, mark):
            if name != _REASON or not text.startswith(b'"'):
                raise InvalidRequest(f"{name} is not valid JSON: {surrogates.BROKEN}.", field=name)
            yield name, surrogates.cleaned(_string.decode(text), mark)
            continue
        if text.startswith(b'"'):
            yield name, _string.decode(text)
        elif text != b"null":
            yield name, text.decode()


async def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        pairs = await pairs_of(body, max_fields=_FIELDS, errors="surrogateescape")
        return [(name, value if value.isascii() else _whole_text(name, value)) for name, value in pairs]
    except ValueError:  # a wrong UTF-8 is one too
        raise InvalidRequest(f"The parameters must be at most {_FIELDS}, in UTF-8.", field="body") from None


def _whole_text(name: str, value: str) -> str:
    """A text that is UTF-8. A reason is repaired instead of refused: a worker must be able to report a failure."""
    return value.encode(errors="surrogateescape").decode(errors="replace" if name == _REASON else "strict")


async def _parts(request: Request) -> list[tuple[str, str]]:
    try:
        return [(name, value.decode() if isinstance(value, bytes) else value) for name, value in await parts_of(request)]
    except (UnicodeDecodeError, LookupError):
        raise InvalidRequest("The form is not UTF-8.", field="body") from None
