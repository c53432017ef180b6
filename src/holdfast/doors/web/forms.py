"""Forms: read within bounds, and accepted only from our own pages.

A form has a CSRF token derived from a random cookie (`SameSite=Strict`, not readable by scripts). A page of another site can
neither send the cookie nor read the token, so its forms are refused. The token follows from the cookie alone: every front and
every node accepts it, also after a restart, without a shared secret. This is in addition to the check of origins, which refuses
such requests already.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

import msgspec

from holdfast import units
from holdfast.doors.web.refill import WAS
from holdfast.engine import checks
from holdfast.errors import Forbidden, InvalidRequest, breach
from holdfast.http.request import Request
from holdfast.http.urlencoded import pairs_of

COOKIE = "holdfast_form"
FIELD = "form_token"
_COOKIE_VALUE = re.compile(r"[0-9a-f]{32}\Z")
FIELDS = 2_000
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3}){1,5}\Z")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_BREAK = re.compile(r"\r\n|\r|\n")
_AREAS = ("payload", "meta")  # fields of several lines
_FORM = "application/x-www-form-urlencoded"
Texts = Mapping[str, str | Sequence[str]]
"""What the fields of a form show: each a text, or one for each of several of its name, such as ticked boxes."""


def new_cookie() -> str:
    """A value for a browser that has none yet."""
    return secrets.token_hex(16)


def cookie_of(request: Request) -> str | None:
    """The browser's cookie, if it is one of ours."""
    value = request.cookie(COOKIE)
    return value if value is not None and _COOKIE_VALUE.match(value) else None


def set_cookie(name: str, value: str, seconds: int, path: str, *, secure: bool) -> bytes:
    """The header that sets a browser's cookie."""
    mark = "Secure; " if secure else ""
    return f"{name}={value}; HttpOnly; Max-Age={seconds}; Path={path}; {mark}SameSite=strict".encode()


def token(cookie: str) -> str:
    """The token in a form for this cookie."""
    return hmac.new(cookie.encode(), b"holdfast form 1", hashlib.sha256).hexdigest()


class Form:
    """The fields of a submitted form. An empty field counts as left out."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._was: dict[str, str | list[str]] | None = None

    def text(self, name: str, default: str = "") -> str:
        """One field; the last one if there are several."""
        found = [value for key, value in self._pairs if key == name]
        return found[-1] if found else default

    def some(self, name: str) -> str | None:
        """One field without the space around it; None where nothing is in it."""
        return self.text(name).strip() or None

    def all(self, name: str) -> list[str]:
        """Every value of a field, such as of ticked boxes."""
        return [value for key, value in self._pairs if key == name]

    def flat(self) -> dict[str, str]:
        """Each field once, the last one if there are several."""
        return dict(self._pairs)

    def showed(self) -> dict[str, str | list[str]]:
        """What its fields showed; nothing in one for something new."""
        if self._was is None:
            try:
                self._was = msgspec.json.decode(self.text(WAS) or "{}", type=dict[str, str | list[str]])
            except msgspec.DecodeError:
                raise breach(WAS, "must be a JSON object of texts") from None
        return self._was

    def touches(self, *names: str) -> bool:
        """Whether one of these fields differs from what it showed, by the field `was`. Without that, of something new, all do."""
        was = self.showed()
        return any(name not in was or _filled(self.all(name)) != _filled(was[name]) for name in names)

    def duration(self, name: str, low: int, high: int) -> int | None:
        """Milliseconds from a text such as `10m`; None where nothing is in it."""
        value = self.some(name)
        return None if value is None else milliseconds(name, value, low, high)

    def int(self, name: str) -> int | None:
        """A whole number, perhaps with its thousands apart; None where nothing is in it."""
        value = self.some(name)
        return None if value is None else whole(name, value)

    def number(self, name: str) -> float | None:
        """A number such as `50` or `0.5`; None where nothing is in it."""
        value = self.some(name)
        if value is None:
            return None
        plain = value.replace(",", "") if _THOUSANDS.match(value) else value
        if _NUMBER.match(plain) is None:
            raise breach(name, "must be a number, such as 50 or 0.5")
        return float(plain)

    def has(self, name: str) -> bool:
        """Whether a box is ticked or a button was pressed."""
        return any(key == name for key, _ in self._pairs)


def typed(form: Form, phrase: str) -> None:
    """Continue only if the user typed the confirmation."""
    if " ".join(form.text("typed").split()) != phrase:
        raise breach("typed", f"must be “{phrase}”; nothing was changed")


def shown(texts: Texts) -> str:
    """The value of the field `was`: what the other fields show."""
    as_sent = {name: in_a_line(text) if isinstance(text, str) and name not in _AREAS else text for name, text in texts.items()}
    return msgspec.json.encode(as_sent).decode()


def in_a_line(text: str) -> str:
    """A text as a browser has it in a field of one line."""
    return _BREAK.sub("", text)


def _filled(texts: str | Sequence[str]) -> list[str]:
    """The texts that are not empty, in no order, which that of boxes need not be; with the ends of lines as they were before a browser sent them."""
    some = [texts] if isinstance(texts, str) else texts
    return sorted(plain for text in some if (plain := _BREAK.sub("\n", text).strip()))


def merged(form: Form, now: Mapping[str, str]) -> Form:
    """The form, in which each field that was not touched has its text of `now`: another may have changed it since the form was shown."""
    return Form([*form.flat().items(), *((name, text) for name, text in now.items() if not form.touches(name))])


def with_changes(was: Sequence[str], given: Sequence[str], now: Sequence[str]) -> list[str]:
    """A list of names as it is now, with what a form has added to what it showed, and without what it has taken away."""
    kept = [name for name in now if name in given or name not in was]
    return kept + [name for name in given if name not in was and name not in kept]


def whole(name: str, value: str) -> int:
    """A text as a whole number."""
    number = checks.whole(value.replace(",", "") if _THOUSANDS.match(value) else value)
    if number is None:
        raise breach(name, "must be a whole number of at least 0")
    return number


def milliseconds(name: str, value: str, low: int, high: int) -> int:
    """A text such as `10m` as milliseconds within bounds."""
    return _measured(name, value, low, high, units.duration_ms, units.duration)


def size(name: str, value: str, low: int, high: int) -> int:
    """A text such as `4 GiB` as bytes within bounds."""
    plain = value.replace(",", "") if _THOUSANDS.match(value) else value
    return _measured(name, plain, low, high, units.size_bytes, units.size)


def _measured(name: str, value: str, low: int, high: int, parse: Callable[[str], int], shown: Callable[[int], str]) -> int:
    try:
        found = parse(value)
    except ValueError as error:
        raise breach(name, str(error)) from None
    if not low <= found <= high:
        raise breach(name, f"must be from {shown(low)} to {shown(high)}")
    return found


def asked(request: Request) -> Form:
    """The query of an address, read as a form is."""
    try:
        text = request.query_string.decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS))
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("The address can't be read.", field="query") from None


async def read(request: Request) -> Form:
    """The form of a request, verified to come from one of our pages."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequest(f"A form is sent as {_FORM}.", field="Content-Type")
    try:
        pairs = await pairs_of(request.body, max_fields=FIELDS)
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("The form can't be read.", field="body") from None
    form = Form(pairs)
    cookie = cookie_of(request)
    if cookie is None or not hmac.compare_digest(token(cookie).encode(), form.text(FIELD).encode()):
        raise Forbidden(
            "This form is out of date. Go back, reload the page and send it again.",
            field=FIELD,
        )
    return form


def without_empty(values: Mapping[str, str | None]) -> dict[str, str]:
    """The values that are not empty."""
    return {name: value for name, value in values.items() if value}
