"""Values of fields: good ones, odd ones, and those that cause much work or that parsers read differently."""

from __future__ import annotations

import json
from random import Random
from typing import Any

QUEUES = ["fuzz", "fuzz-a", "fuzz.b", "fuzz:c", "fuzz_d", "fuzz-e"]
ODD_NAMES = [
    "",
    ".",
    "..",
    "...",
    "a b",
    "a/b",
    "a%2Fb",
    "x" * 200,
    "x" * 201,
    "x" * 600,
    "x" * 5_000,
    "fuzz\0",
    "fuzz\n",
    "fuzz\r\nX-Evil: 1",
    "ﬀuzz",
    "fuzz\u0301",
    "ｆｕｚｚ",
    "fu\u200bzz",
    "\u202efuzz",
    "FUZZ",
    ":2F",
    ":2F" * 200,
    ":2f",
    ":",
    ":ZZ",
    "<b>",
    "'; DROP TABLE jobs; --",
    "${7*7}",
    "{{7*7}}",
    "%00",
    "%",
    "-",
    "--help",
    "_other",
    "\ufeff",
    "\ud800",
    "😀",
]
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}]]>--><!--"
TEXTS = [
    "",
    "x",
    "mail",
    "ü",
    "é",
    "e\u0301",
    MARKUP,
    "\0",
    "a\0b",
    "\x1b[2J\x1b]0;x\x07",
    "\u202egnp.exe",
    "\u2028",
    "\x7f",
    "\ufffe",
    "😀" * 40,
    "x" * 129,
    "x" * 257,
    "x" * 8_193,
    "x" * 70_000,
    "\r\nSet-Cookie: a=b",
    "null",
    "NaN",
    "../../etc/passwd",
    "\ud800",
    "\udc00\ud800",
    "1" * 400,
    "=cmd|' /C calc'!A0",
]
# As they are written in JSON or in a URL.
NUMBERS = [
    "0", "-0", "1", "-1", "2", "7", "1000", "1001", "55000", "55001", "65535", "65536", "4294967295", "4294967296", "9007199254740991",
    "9007199254740992", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e1", "1E400", "-1e400",
    "1.0", "0.5", "1e-400", "1" + "0" * 400, "1_0", "+1", "٣", "１", "01", "0x10", " 1", "1 ", "NaN", "Infinity", "-Infinity", "1n", "0b1", "²", "",
]  # fmt: skip
DEEP = ["[" * 63 + "]" * 63, "[" * 65 + "]" * 65, "[" * 5_000 + "]" * 5_000, '{"a":' * 64 + "1" + "}" * 64, "[" * 300, "{}" * 2]
WIDE = [
    "[" + ",".join(["[]"] * 20_000) + "]",
    "{" + ",".join(f'"k{n}":{n}' for n in range(3_000)) + "}",
    '"' + "\\u0041" * 20_000 + '"',
]
ODD_JSON = ["null", "true", "false", "[]", "{}", '""', "[null]", '{"":0}', '"\\ud800"', '"\\u0000"', '"\\x"', '"\t"', "'a'", "nul", "[1,]", "// a\n1",
            "\ufeff1", '{"a":1,"a":2}', "-", "--1", "01", ".5", "1.", "undefined"]  # fmt: skip
CRONS = [
    "* * * * *", "0 0 1 1 *", "30 2 * * *", "0 0 29 2 *", "0 0 31 2 *", "0 0 30 2 *", "*/1 * * * *", "0-59 * * * *", "0 24 * * *", "60 * * * *", "* * * *",
    "* * * * * *", "@reboot", "@daily", "0 0 * * 7", "0 0 * * 8", "a b c d e", "1-0 * * * *", "*/0 * * * *", "*/99999999999999999999 * * * *", "1,2,3,4,5 " * 30,
    "0 0 31 4,6,9,11 *", "٣ * * * *", "0 0 L * *", "0 0 * * 5#6", "-1 * * * *", ",".join(str(n) for n in range(60)) + " * * * *", "0 0 1 1 * 2099",
    "0/0 * * * *", "*/-1 * * * *", "1e1 * * * *", "* * * * *\n", "\0 * * * *", "0 0 29 2 1", "H * * * *", "?  ? ? ? ?", "*" * 200,
]  # fmt: skip
ZONES = [
    "UTC", "Europe/Vienna", "Australia/Lord_Howe", "Africa/Casablanca", "Antarctica/Troll", "europe/vienna", "EST5EDT", "Etc/GMT+14", "posixrules", "localtime",
    "../../etc/passwd", "/etc/passwd", "/dev/zero", "Europe", "Europe/", "Europe/Vienna/", "zone.tab", "tzdata.zi", "right/UTC", "posix/UTC", "Factory", "", ".", "..",
    "UTC\0", "UTC+25", "x" * 61, "x" * 5_000, "Ｅurope/Vienna", "\ud800", "America/Argentina/../../etc", "leapseconds", "+00", "__init__.py",
]  # fmt: skip
PATTERNS = [
    "", "*", ".*", "^a$", "(a+)+$", "(a|a)*b", "(a|b)*a(a|b){100}c", "(.*)*(.*)*(.*)*x", r"\pL{100}", r"(\pL{1,30}[a-z]?){1,30}", r"((a{1,100}){1,10}){1,1}", "x{1001}",
    "a{1000}{1000}", "(?=a)", "(?<a>b)\\k<a>", "\\1", "(", ")", "[", "[z-a]", "\\", "(?i)", "(?P<n>a)", "\\C", "(?s).", "a**", "\0", "\ud800", "x" * 512, "x" * 513, "(" * 200 + ")" * 200,
    "[^\\x00-\\x{10FFFF}]{1000}", "\\p{Foo}", "$^", "|" * 300, "(?:a?){40}a{40}", "\u0130",
]  # fmt: skip
INSTANTS = [
    "2026-11-30T00:00:00Z", "2026-11-30T00:00:00.123456789Z", "2026-11-30T00:00:00", "2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "10000-01-01T00:00:00Z", "2026-11-30 00:00:00Z", "2026-11-30T24:00:00Z", "2026-11-30T00:00:00+99:99", "٢٠٢٦-11-30T00:00:00Z", "1", "", "now",
]  # fmt: skip


class Raw(str):
    """Text that is written into a document unchanged, even if it is not JSON."""

    __slots__ = ()


def document(value: Any) -> bytes:
    """JSON, with `Raw` values unchanged, and lone surrogates as escapes, or sometimes as bytes that are not UTF-8."""
    return _written(value).encode("utf-8", "surrogatepass")


def _written(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_written(name)}:{_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=not isinstance(value, str) or len(value) % 3 > 0)


def payload(draw: Random) -> Any:
    """Any JSON, usually small."""
    kind = draw.randrange(12)
    if kind < 5:
        return draw.choice([None, True, 0, 7, 1.5, "x", [], {}, {"a": [1, {"b": None}]}])
    if kind < 8:
        return draw.choice(TEXTS)
    if kind < 10:
        return {draw.choice(TEXTS)[:50]: draw.choice(TEXTS) for _ in range(3)}
    return Raw(draw.choice(DEEP[:2] + WIDE))


def odd(draw: Random) -> Raw | str:
    """A value that almost no field accepts."""
    kind = draw.randrange(10)
    if kind < 4:
        return Raw(draw.choice(NUMBERS) or "0")
    if kind < 7:
        return draw.choice(TEXTS)
    return Raw(draw.choice(ODD_JSON if kind < 9 else DEEP + WIDE))


def name(draw: Random) -> str:
    """A name of a queue, usually a valid one."""
    return draw.choice(ODD_NAMES) if draw.random() < 0.06 else draw.choice(QUEUES)
