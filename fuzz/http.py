"""The grammar of the HTTP doors: pipelines of valid requests, made from the served OpenAPI document; most of them are then
corrupted.
"""

from __future__ import annotations

import json
from random import Random
from urllib.parse import quote

from fuzz import mutation, values
from fuzz.case import CLOSE, HALF, RESET, Case
from fuzz.request import Request
from fuzz.schema import Sampler
from fuzz.stock import Stock

_METHODS = {"get", "put", "post", "patch", "delete"}
PLAIN = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/",
    "/web",
    "/v1/channel",
    "/v1/nowhere",
    "/favicon.ico",
    "/robots.txt",
]
_QUERY = {"queue": values.QUEUES, "state": ["ready", "dead", "bogus"], "limit": values.NUMBERS, "wait_ms": ["0", "10", *values.NUMBERS[8:]], "cursor": ["x", "AAAA", "1"],
          "payload": ["true", "false", "1"], "text": values.TEXTS, "type": values.TEXTS, "tag": values.TEXTS, "named": ["fuzz", ",", "fuzz,fuzz"]}  # fmt: skip


def case(number: int, draw: Random, stock: Stock) -> Case:
    """One connection to the native API."""
    requests = [native(draw, stock) for _ in range(draw.choice([1, 1, 1, 2, 3, 6]))]
    endless = next((place for place, request in enumerate(requests) if not request.certain), len(requests))
    return assembled("http", requests[: endless + 1], number, draw)  # requests after an event stream would wait for its end


def native(draw: Random, stock: Stock) -> Request:
    """A request for one operation of the document."""
    if draw.random() < 0.08:
        return Request("GET", draw.choice(PLAIN))
    if draw.random() < 0.01:
        return Request("GET", draw.choice(["/v1/stream", "/web/stream"]), certain=False)  # no request after it is answered
    operations = [
        (method, path, found)
        for path, methods in stock.described["paths"].items()
        for method, found in methods.items()
        if method in _METHODS and path != "/v1/stream"
    ]
    method, path, operation = draw.choice(operations)
    made = Request(method.upper(), _filled(path, draw, stock) + _query(operation, draw))
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        body = Sampler(stock.described).draw(content["application/json"]["schema"], draw, stock)
        corrupt_body(made, body, draw)
        made.headers.append("Content-Type: application/json")
    if draw.random() < 0.1:
        made.headers.append(f"Idempotency-Key: {draw.choice('abc')}")
    return made


def _filled(path: str, draw: Random, stock: Stock) -> str:
    for name in ("queue", "name"):
        path = path.replace(
            f"{{{name}}}", quote(values.name(draw).encode("utf-8", "surrogatepass"), safe=draw.choice(["", "/", ":"]))
        )
    path = path.replace("{job_id}", quote(stock.number(draw))).replace("{worker_id}", draw.choice([*stock.workers, "x"]))
    return path.replace("{token}", quote(stock.token(draw)))


def _query(operation: dict, draw: Random) -> str:
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    chosen = [name for name in names if draw.random() < 0.3]
    pairs = [
        f"{name}={quote(draw.choice(_QUERY.get(name, values.TEXTS))[:3_000].encode('utf-8', 'surrogatepass'))}"
        for name in chosen
    ]
    return "?" + "&".join(pairs) if pairs else ""


def corrupt_body(made: Request, body: object, draw: Random) -> None:
    """Set the body: JSON as drawn; or with an odd, missing, unknown, misspelt or duplicate field; or bytes that are not JSON."""
    kind = draw.randrange(16) - 6
    if kind >= 4 and isinstance(body, dict) and body:
        holder = _somewhere(body, draw)
        name = draw.choice(list(holder) or ["x"])
        if kind == 4:
            holder[name] = values.odd(draw)
        elif kind == 5:
            holder.pop(name, None)
        elif kind == 6:
            holder[draw.choice(["x", name + "s", name.upper(), " " + name, name + "\0", "", "__proto__", "ｐayload"])] = (
                values.odd(draw)
            )
        elif kind == 7:
            again = f"{json.dumps(name)}:{values.document(values.odd(draw)).decode('utf-8', 'replace')}"
            made.body = values.document(body).replace(b"{", b"{" + again.encode("utf-8", "replace") + b",", 1)
            made.note("a key twice")
            return
        elif kind == 8:
            made.body = mutation.corrupted(values.document(body), draw)
            made.note("JSON")
            return
        made.note(f"field {name[:30]!r}")
    made.body = values.document(body)


def _somewhere(body: dict, draw: Random) -> dict:
    while inside := [
        one
        for value in body.values()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, dict) and one
    ]:
        if draw.random() < 0.5:
            break
        body = draw.choice(inside)
    return body


def assembled(door: str, requests: list[Request], number: int, draw: Random) -> Case:
    """One connection that sends these; most are corrupted: in a request, in the bytes, in their order, or at the end."""
    gentle = draw.random() < 0.4  # so that many requests are accepted, too
    for request in requests:
        while draw.random() < (0.1 if gentle else 0.45):
            request.corrupt(draw)
    written = [request.written(draw) for request in requests]
    certain = all(request.certain and request.method != "CONNECT" for request in requests)
    notes = [note for request in requests for note in request.notes]
    data = b"".join(written)
    if not gentle and draw.random() < 0.4:
        data = mutation.corrupted(data, draw, draw.choice(written))
        certain = False
        notes.append("bytes")
    end = draw.choice([HALF] * 6 + [RESET] * 2 + [CLOSE])
    steps = mutation.segments(data, draw)
    if end == RESET:
        steps = steps[: draw.randint(1, len(steps))]
    if not certain and len(steps) > 2 and draw.random() < 0.1:
        draw.shuffle(steps)
        notes.append("order")
    answers = [request.method for request in requests] if certain and end == HALF else None
    about = ", ".join(f"{request.method[:20]} {request.target[:60]}" for request in requests)
    return Case(door, f"{number}: {about}", steps, end, draw.random() > 0.03 or answers is not None, answers, notes)
