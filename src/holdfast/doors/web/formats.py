"""How counts, ages, sizes, times and payloads are shown to people. All results are plain text; the templates escape them."""

import contextlib
from datetime import UTC, datetime
from typing import TypeGuard

import msgspec

from holdfast.job.job import Content
from holdfast.limits import INSTANT_MAX

NOTHING = "–"
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def number(value: float | None) -> str:
    """A count with its thousands apart."""
    return NOTHING if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """A count in few characters."""
    if value is None:
        return NOTHING
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= bound:
            scaled = value / (1e3 if unit == "k" else bound)
            return f"{scaled:.1f}".rstrip("0").rstrip(".") + f" {unit}" if scaled < 100 else f"{scaled:.0f} {unit}"
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Events per second; a rate that has faded away is none."""
    if value is None or value < 0.005:
        return "0"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def duration(ms: float | None) -> str:
    """A length of time in its two largest units."""
    if ms is None:
        return NOTHING
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1_000:.1f} s"
    left, parts = int(ms), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def ago(moment: int | None, now: int) -> str:
    """How long ago, or in how long."""
    if moment is None:
        return NOTHING
    if abs(now - moment) < 1_000:
        return "just now"
    return f"{duration(now - moment)} ago" if moment < now else f"in {duration(moment - now)}"


def _datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(ms, 0), INSTANT_MAX) / 1000, UTC)


def moment(ms: int | None) -> str:
    """A time in UTC, to the second, for people."""
    return NOTHING if ms is None else _datetime(ms).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(ms: int) -> str:
    """The time of day in UTC, to the millisecond."""
    return _datetime(ms).strftime("%H:%M:%S.") + f"{ms % 1000:03d}"


def iso(ms: int | None) -> str:
    """A time as RFC 3339."""
    return "" if ms is None else _datetime(ms).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None:
        return NOTHING
    for bound, unit in _SIZES:
        if count >= bound:
            return f"{count / bound:.1f} {unit}"
    return f"{count:,.0f} B"


def percent(part: float, whole: float) -> float:
    """How much of the whole, from 0 to 100; a bound of 0 is full at once."""
    return 100.0 if whole <= 0 else min(100.0, 100.0 * part / whole)


def drains_in(backlog: int, came: float, done: float) -> str:
    """When the backlog will be worked off as things go."""
    if backlog == 0:
        return "empty"
    if done - came < 0.01:
        return "never" if done < 0.01 else "growing" if came - done > 0.01 else "steady"
    return duration(1_000 * backlog / (done - came))


def text_of(data: bytes) -> str:
    """Bytes as text, whatever they are; unprintable ones are escaped."""
    return data.decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")


def pretty(data: bytes, is_json: bool, whole: bool) -> str:
    """A payload for reading: complete JSON is indented (numbers keep their digits), anything else is shown as it is."""
    if is_json and whole:
        with contextlib.suppress(
            msgspec.DecodeError, RecursionError
        ):  # what a worker or a dialect left there need not be whole
            data = msgspec.json.format(data, indent=2)
    return text_of(data)


def share(progress: bytes) -> float | None:
    """A job's progress from 0 to 100, if its worker reported one: a percentage, alone or as `percent`; or `done` of `total`."""
    try:
        noted = msgspec.json.decode(progress)
        if isinstance(noted, dict):
            done, total = noted.get("done"), noted.get("total")
            noted = 100 * done / total if _counts(done) and _counts(total) and total > 0 else noted.get("percent")
        return float(noted) if _counts(noted) and noted <= 100 else None
    except (msgspec.DecodeError, RecursionError, OverflowError):
        return None


def _counts(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def excerpt(content: Content, chars: int = 120) -> str:
    """The beginning of a payload on one line; nothing if it was not read."""
    shown = text_of(content.payload[: chars * 4]).replace("\n", " ")
    return shown if len(shown) <= chars else shown[:chars] + "…"
