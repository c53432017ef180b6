"""Durations, sizes and counts as people write them: `10m`, `1h 30m`, `1.5s`, `4 GiB`, `1 job`, `2,500 jobs`.

The API has milliseconds and bytes. Forms and command lines read and show these texts; `duration_ms(duration(ms)) == ms`, and
likewise for sizes.
"""

import re
from decimal import Decimal
from itertools import pairwise

_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "min": 60_000, "s": 1_000, "ms": 1}
_BYTES = {"TiB": 1 << 40, "TB": 10**12, "GiB": 1 << 30, "GB": 10**9, "MiB": 1 << 20, "MB": 10**6, "KiB": 1 << 10, "kB": 1_000}
_BYTES_BY_TEXT = {unit.lower(): size for unit, size in _BYTES.items()} | {"b": 1, "": 1}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_PART = re.compile(rf"({_NUMBER}) *(ms|min|[smhd])(?![a-z]) *")
_SIZE = re.compile(rf"({_NUMBER}) *([a-zA-Z]{{0,3}})")
_LONGEST = 100  # characters


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 job`, `2,500 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def is_or_are(count: int) -> str:
    """The verb behind such a number."""
    return "is" if count == 1 else "are"


def duration_ms(text: str, bare_ms: int = 0) -> int:
    """Milliseconds; a number alone counts `bare_ms` each, or is refused. The `ValueError` message completes a sentence."""
    text = text.strip()
    if re.fullmatch(_NUMBER, text) and (bare_ms or not Decimal(text)):
        return _whole(Decimal(text) * bare_ms, "milliseconds")
    units, total, at = list[int](), Decimal(0), 0
    while (part := _PART.match(text[:_LONGEST], at)) is not None:
        units.append(_MS[part[2]])
        total += Decimal(part[1]) * units[-1]
        at = part.end()
    if not units or at < len(text) or any(later >= before for before, later in pairwise(units)):
        raise ValueError("must be a duration with units, such as 500ms, 1.5s, 10m, 1h 30m or 7d")
    return _whole(total, "milliseconds")


def duration(ms: int) -> str:
    """The exact text of a duration in milliseconds."""
    if ms < 1_000:
        return f"{ms}ms" if ms else "0s"
    parts, left = [], ms
    for unit in ("d", "h", "m"):
        count, left = divmod(left, _MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{_decimal(left, 1_000)}s")
    return " ".join(parts)


def size_bytes(text: str) -> int:
    """Bytes; a number alone is bytes. The `ValueError` message completes a sentence."""
    found = _SIZE.fullmatch(text.strip()[:_LONGEST])
    if found is None or found[2].lower() not in _BYTES_BY_TEXT:
        raise ValueError(
            "must be a size, such as 512 KiB, 1.5 MiB, 4 GiB (units of 1,024), 100 MB (of 1,000) or a number of bytes"
        )
    return _whole(Decimal(found[1]) * _BYTES_BY_TEXT[found[2].lower()], "bytes")


def size(count: int) -> str:
    """The exact text of a size in bytes, in the unit with the shortest number."""
    exact = [f"{_decimal(count, unit)} {name}" for name, unit in _BYTES.items() if count >= unit and count * 1_000 % unit == 0]
    return min([*exact, f"{count} B"], key=lambda text: len(text.split()[0]))


def _decimal(count: int, unit: int) -> str:
    """`count / unit`, which has at most three decimals."""
    whole, rest = divmod(count * 1_000 // unit, 1_000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".")


def _whole(value: Decimal, what: str) -> int:
    if value != value.to_integral_value():
        raise ValueError(f"must be a whole number of {what}")
    return int(value)
