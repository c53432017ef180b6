"""The grammar of the three dialects: `/push`, `/get`, `/jobs/…`, `/task`, `/worker`, `/interest`, `/api`."""

from __future__ import annotations

import json
from random import Random
from urllib.parse import quote_plus

from fuzz import values
from fuzz.case import Case
from fuzz.http import assembled, corrupt_body
from fuzz.request import Request
from fuzz.stock import Stock

ROUTES = [
    ("POST", "/push"), ("GET", "/get"), ("GET", "/stats"), ("HEAD", "/stats"),
    ("PUT", "/jobs/enqueue"), ("POST", "/jobs/enqueue"), ("POST", "/jobs/dequeue"), ("POST", "/jobs/conclude/{job}"), ("POST", "/jobs/{job}/conclude"), ("GET", "/jobs/{job}"), ("GET", "/jobs/stats"),
    ("PUT", "/task"), ("GET", "/task"), ("POST", "/task"), ("PUT", "/worker"), ("DELETE", "/worker"), ("PUT", "/interest"), ("DELETE", "/interest"), ("DELETE", "/queue"), ("GET", "/status"),
    ("POST", "/api"), ("GET", "/api/{action}"), ("POST", "/api/{action}"), ("PUT", "/api/{action}"),
]  # fmt: skip
ACTIONS = [
    "taskCreate",
    "taskGet",
    "taskUpdate",
    "workerRegister",
    "workerDelete",
    "interestCreate",
    "interestDelete",
    "queueDelete",
    "status",
    "bogus",
    "",
]
FIELDS = ["action", "queue", "queueName", "queues", "priority", "worker", "workerId", "taskId", "job", "message", "data", "payload", "type", "status", "error", "pattern", "key", "value", "interests", "runAt",
          "scope", "singular", "fastPost", "maxRetries", "timeout", "limit", "force", "name", "interest", "parts", "QUEUE_CONSUMER", "Type", "Payload"]  # fmt: skip


def case(number: int, draw: Random, stock: Stock) -> Case:
    """One connection with requests in the dialects."""
    return assembled("dialects", [_request(draw, stock) for _ in range(draw.choice([1, 1, 2, 4]))], number, draw)


def _value(name: str, draw: Random, stock: Stock) -> object:
    if name in ("queue", "queueName"):
        return draw.choice(values.QUEUES)
    if name == "queues":
        return draw.choice([[draw.choice(values.QUEUES)], draw.choice(values.QUEUES), {}])
    if name in ("worker", "workerId") and stock.workers:
        return draw.choice(stock.workers)
    if name in ("taskId", "job"):
        return draw.choice([stock.job(draw), str(stock.job(draw))])
    if name == "action":
        return draw.choice(ACTIONS)
    if name in ("pattern", "key", "value", "interest", "interests"):
        return draw.choice([draw.choice(values.PATTERNS), {draw.choice(values.PATTERNS): draw.choice(values.PATTERNS)}])
    if name == "runAt":
        return draw.choice(values.INSTANTS)
    return draw.choice([values.payload(draw), draw.choice(values.TEXTS), 1, "true"])


def _request(draw: Random, stock: Stock) -> Request:
    method, path = draw.choice(ROUTES)
    made = Request(method, path.replace("{job}", quote_plus(stock.number(draw))).replace("{action}", draw.choice(ACTIONS)))
    fields = {name: _value(name, draw, stock) for name in draw.sample(FIELDS, draw.randint(1, 6))}
    if draw.random() < 0.15:
        made.headers.append(f"QUEUE_CONSUMER: {draw.choice(['a', 'b', 'x' * 300, chr(233)])}")
    if draw.random() < 0.3:
        pairs = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in fields.items()]
        text = "&".join(f"{name}={quote_plus(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs)[:8_000]
        if method in ("GET", "HEAD", "DELETE") or draw.random() < 0.3:
            made.target += "?" + text
        else:
            made.body = text.encode()
            made.headers.append("Content-Type: application/x-www-form-urlencoded")
    elif method not in ("GET", "HEAD"):
        corrupt_body(made, fields, draw)
        made.headers.append("Content-Type: application/json")
    return made
