"""Publishing to many interests: what is registered, what is published, and by which callers.

Queue number n always wants the same events, however its interest is worded, and every event is wanted by exactly one of the queues. So what
differs between two measurements is the number of interests, or how their patterns are written, and nothing else.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle

import msgspec

from bench.scripts import PAYLOADS, Tally, clock
from bench.wire import Script, http_request

SHAPES: dict[str, Callable[[int], dict[str, str]]] = {
    "value by pattern": lambda n: {"^action$": rf"^order-0*{n}(\.[a-z]+)?$"},
    "literals": lambda n: {"action": f"order-{n:06d}.paid"},
    "both by pattern": lambda n: {rf"^(customer|shop{n})\.(id|key)$": rf"^(eu|us)-0*{n}(-[a-z]+)?$"},
}
"""What queue n registers, by the name under which it is reported."""


class _Published(msgspec.Struct):
    jobs: list[msgspec.Raw]


published = msgspec.json.Decoder(_Published).decode


def publish_name(count: int, shape: str) -> str:
    """The name of the measurement of publishing to so many interests."""
    return f"publish, {count:,} interests, {shape}"


def first_name(count: int, shape: str) -> str:
    """How the measurement of the first publish after a change is called."""
    return f"first publish after a change, {count:,} interests, {shape}"


def is_about_events(name: str) -> bool:
    """Whether a measurement has one of these two names."""
    return name.startswith(("publish, ", "first publish "))


def queue_of(n: int) -> str:
    """The queue with this number."""
    return f"wants-{n:06d}"


def register(queue: int, shape: str, wanted: int | None = None) -> bytes:
    """The request that sets a queue's interest; `wanted`: the interest of queue number n, in place of its own."""
    match = SHAPES[shape](queue if wanted is None else wanted)
    return http_request("PUT", f"/v1/interests/{queue_of(queue)}", msgspec.json.encode({"match": match}))


def event(n: int, fill: str) -> bytes:
    """The request that publishes what queue n alone wants."""
    customer = {"id": f"eu-{n:06d}-gold", "name": fill[:20]}
    data = {"action": f"order-{n:06d}.paid", "customer": customer, "amount": 12.5, "note": fill[20:]}
    return http_request("POST", "/v1/publish", msgspec.json.encode({"data": data}))


def events(interests: int, payload_bytes: int, seed: int) -> Iterator[bytes]:
    """Events for queues drawn from all of them, over and over."""
    chosen = random.Random(seed)
    fills = ["".join(chosen.choices("abcdefghij ", k=payload_bytes)) for _ in range(PAYLOADS)]
    return cycle([event(chosen.randrange(interests), fill) for fill in fills])


def registering(tally: Tally, numbers: Iterator[int], shape: str) -> Script:
    """Register the interests of these queues, which callers share."""
    for n in numbers:
        began = clock()
        answer = yield register(n, shape)
        if answer[0] == 200:
            tally.timed(began)
        else:
            tally.failed("interest", answer)


def publishing(tally: Tally, turns: Iterable[None], requests: Iterator[bytes]) -> Script:
    """Publish; an event that did not reach exactly one queue is a failure."""
    for _ in turns:
        began = clock()
        _reached_one(tally, began, (yield next(requests)))


def changing(tally: Tally, turns: Iterable[None], requests: Iterator[bytes], interests: int, shape: str) -> Script:
    """Change what one further queue wants, which is none of the events, then publish; only the publish is timed."""
    for turn, _ in enumerate(turns):
        answer = yield register(interests, shape, wanted=interests + turn)
        if answer[0] != 200:
            tally.failed("change", answer)
            continue
        began = clock()
        _reached_one(tally, began, (yield next(requests)))


def _reached_one(tally: Tally, began: float, answer: tuple[int, bytes]) -> None:
    if answer[0] == 201 and len(published(answer[1]).jobs) == 1:
        tally.timed(began)
    else:
        tally.failed("publish", answer)
