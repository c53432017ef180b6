"""The grammar of the page: its screens, and its forms with a valid, foreign or missing cookie and token."""

from __future__ import annotations

from random import Random
from urllib.parse import quote, quote_plus

from fuzz import values
from fuzz.case import Case
from fuzz.http import assembled
from fuzz.request import Request
from fuzz.stock import Stock

SCREENS = ["", "/jobs", "/jobs/{job}", "/jobs/{job}/payload", "/jobs/{job}/result", "/jobs/{job}/edit", "/jobs/{job}/bogus", "/enqueue", "/failures", "/interests", "/find", "/history", "/queues/{queue}",
           "/queues/{queue}/purge", "/schedules", "/store", "/suggest", "/trail", "/trail.json", "/workers", "/bulk", "/static/{queue}", "/static/../routes.py", "/static/app.js"]  # fmt: skip
FORMS = {
    "/enqueue": ["queue", "type", "payload", "kind", "priority", "delay", "run_at", "tags", "unique_key", "group_key", "group_limit", "max_attempts"],
    "/queues": ["name", "queue"],
    "/queues/{queue}/pause": ["paused"],
    "/queues/{queue}/settings": ["capacity_jobs", "capacity_bytes", "lease_ms", "lease", "max_attempts", "max_crashes", "retention", "retention_ms", "base", "factor", "jitter"],
    "/queues/{queue}/purge": ["state", "typed", "count", "states"],
    "/queues/{queue}/delete": ["typed", "name"],
    "/interests/test": ["data", "event"],
    "/interests": ["queue", "match", "pattern", "field", "value"],
    "/schedules": ["name", "cron", "timezone", "interval", "interval_ms", "queue", "payload", "type", "publish"],
    "/schedules/{queue}/{verb}": ["typed"],
    "/jobs/{job}/{verb}": ["typed", "to", "queue", "payload", "priority", "settled"],
    "/workers/{worker}/{verb}": ["typed"],
    "/bulk": ["way", "queue", "state", "text", "type", "tag", "all", "typed", "count", "until", "cursor", "to", "ids", "group"],
}  # fmt: skip
VERBS = [
    "retry",
    "cancel",
    "promote",
    "delete",
    "move",
    "edit",
    "settle",
    "pause",
    "resume",
    "run",
    "remove",
    "quiet",
    "forget",
    "bogus",
    "%00",
]
QUERY = [
    "q",
    "queue",
    "state",
    "text",
    "type",
    "tag",
    "limit",
    "cursor",
    "from",
    "way",
    "all",
    "sort",
    "page",
    "done",
    "n",
    "download",
    "span",
    "before",
    "after",
    "kind",
]
GOOD = {"queue": values.QUEUES, "name": values.QUEUES, "cron": values.CRONS, "timezone": values.ZONES, "pattern": values.PATTERNS, "match": values.PATTERNS,
        "way": ["retry", "cancel", "delete", "move", "promote", "bogus"], "state": ["ready", "dead", "scheduled", "bogus"], "run_at": values.INSTANTS, "sort": ["backlog", "x"]}  # fmt: skip


def case(number: int, draw: Random, stock: Stock) -> Case:
    """One connection of a browser, or of a client that claims to be one."""
    make = [screen if draw.random() < 0.5 else form for _ in range(draw.choice([1, 1, 2, 4]))]
    return assembled("page", [one(draw, stock) for one in make], number, draw)


def _path(path: str, draw: Random, stock: Stock) -> str:
    filled = (
        path.replace("{job}", quote(stock.number(draw)))
        .replace("{verb}", draw.choice(VERBS))
        .replace("{worker}", draw.choice([*stock.workers, "x"]))
    )
    return "/web" + filled.replace("{queue}", quote(values.name(draw).encode("utf-8", "surrogatepass"), safe=""))


def _value(name: str, draw: Random) -> str:
    if name in GOOD and draw.random() < 0.8:
        return draw.choice(GOOD[name])
    return draw.choice(
        [
            draw.choice(values.TEXTS),
            draw.choice(values.NUMBERS),
            "1",
            "24h",
            "10m",
            "4 GiB",
            "-1h",
            "1e9d",
            '{"a":1}',
            "[" * 100,
        ]
    )


def _encoded(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs)


def screen(draw: Random, stock: Stock) -> Request:
    """A screen, with some of its filters."""
    pairs = [(name, _value(name, draw)) for name in draw.sample(QUERY, draw.randrange(4))]
    made = Request("GET", _path(draw.choice(SCREENS), draw, stock) + ("?" + _encoded(pairs)[:6_000] if pairs else ""))
    if draw.random() < 0.4:
        made.headers.append(f"Cookie: {stock.cookie}")
    if draw.random() < 0.2:
        made.headers.append("HX-Request: true")
    return made


def form(draw: Random, stock: Stock) -> Request:
    """A form as a browser sends it. Every case uses the queues of the grammar, so that none changes jobs of the honest callers."""
    path = draw.choice(list(FORMS))
    pairs = [(name, _value(name, draw)) for name in FORMS[path] if draw.random() < 0.6]
    if path == "/bulk":
        pairs = [("queue", draw.choice(values.QUEUES)), *[pair for pair in pairs if pair[0] not in ("queue", "ids", "group")]]
    if draw.random() < 0.2 and path != "/bulk":
        pairs.append(draw.choice(pairs or [("x", "y")]))
    if draw.random() < 0.9:
        pairs.append(("form_token", stock.form_token if draw.random() < 0.95 else "0" * 64))
    made = Request("POST", _path(path, draw, stock))
    made.headers = [f"Cookie: {stock.cookie}", "Content-Type: application/x-www-form-urlencoded"]
    made.body = _encoded(pairs).encode()
    if draw.random() < 0.04 and path != "/bulk":
        made.body = draw.choice(
            [b"a=%", b"a=%zz&b", b"=" * 3_000, b"&" * 3_000, b"a=b&" * 2_500, b"\xff=\xff", b"a" * 100_000, b""]
        )
    return made
