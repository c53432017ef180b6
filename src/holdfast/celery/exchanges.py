r"""Exchanges and bindings: a queue that is bound to an exchange subscribes to the events of that exchange.

What is sent to an exchange is an event with the routing key in a field that is named after it; each subscribed queue gets a copy, all in one
transaction. So bindings are stored where queues are, every process sees them, and an operator too, among the subscriptions.

    queue.bind(exchange "logs", "kern.*")      {"^exchange\.logs$": "^(?:kern\.[^.]+)$"}
    publish(exchange "logs", "kern.error")     {"exchange": {"logs": "kern.error"}, "message": …}

A queue that goes with its consumer (exclusive, auto_delete, or with `x-expires`) has one pair more, which matches nothing and says so: see
`orphans.py`.
"""

import re

from holdfast.client import Client
from holdfast.errors import QueueNotFound

TEMPORARY = "^holdfast temporary$"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:@/,=% ~#&;")
_TRIES = 5

Pairs = dict[str, str]


def escaped(text: str) -> str:
    """The text as a pattern that matches it and nothing else."""
    return "".join(c if c in _PLAIN or not c.isascii() else f"\\x{{{ord(c):x}}}" if c in "|\n\r\t" else "\\" + c for c in text)


def pattern_of(kind: str, routing_key: str) -> str:
    """What a binding of an exchange of this kind matches."""
    if kind == "fanout":
        return ".*"
    return _topic(routing_key) if kind == "topic" else escaped(routing_key)


def _topic(routing_key: str) -> str:
    """`*` is one word, `#` any number of them."""
    words = routing_key.split(".")
    if all(word == "#" for word in words):
        return ".*"
    found, begun = "", False  # `begun`: a word that is always there stands before
    for word in words:
        if word == "#":
            found += r"(?:\.[^.]+)*" if begun else r"(?:[^.]+\.)*"
            continue
        found += (r"\." if begun else "") + ("[^.]+" if word == "*" else escaped(word))
        begun = True
    return found


def field_of(exchange: str) -> str:
    """The pattern for the name of the field of an exchange."""
    return f"^exchange\\.{escaped(exchange)}$"


def patterns(value: str | None) -> list[str]:
    """The patterns of the bindings of one queue to one exchange."""
    found = re.fullmatch(r"\^\(\?:(.*)\)\$", value or "", re.DOTALL)
    return _split(found[1]) if found else []


def _split(joined: str) -> list[str]:
    """At each `|` that stands between two; those of a routing key are written by their number."""
    return joined.split("|")


def _joined(every: list[str]) -> str:
    return f"^(?:{'|'.join(sorted(set(every)))})$"


def pairs_of(client: Client, queue: str) -> Pairs:
    """The subscription of a queue; empty if it has none."""
    try:
        match = client.interest(queue).match
    except QueueNotFound:
        return {}
    return {} if isinstance(match, str) else match


def bind(client: Client, queue: str, exchange: str, pattern: str, known: Pairs | None = None) -> None:
    """Subscribe a queue. Read again after it is written, because another process may have changed it in between; but for a queue of this
    process alone, of which all that was `known` is said.
    """
    field = field_of(exchange)
    for _ in range(_TRIES):
        pairs = pairs_of(client, queue) if known is None else known
        bound = patterns(pairs.get(field))
        if pattern in bound:
            return
        wanted = pairs | {field: _joined([*bound, pattern])}
        client.set_interest(queue, wanted)
        if known is not None:
            known.update(wanted)
            return


def unbind(client: Client, queue: str, exchange: str, pattern: str) -> None:
    """Take one binding back."""
    field = field_of(exchange)
    pairs = pairs_of(client, queue)
    bound = patterns(pairs.get(field))
    if pattern not in bound:
        return
    bound.remove(pattern)
    left = {name: value for name, value in pairs.items() if name != field} | ({field: _joined(bound)} if bound else {})
    if left:
        client.set_interest(queue, left)
    else:
        client.delete_interest(queue)


def mark_temporary(client: Client, queue: str, unused_ms: int) -> Pairs:
    """Say that the queue goes with its consumer; and that it may be removed when it was unused for so long. Returns its subscription."""
    pairs = pairs_of(client, queue)
    if pairs.get(TEMPORARY) != str(unused_ms):
        pairs = pairs | {TEMPORARY: str(unused_ms)}
        client.set_interest(queue, pairs)
    return pairs
