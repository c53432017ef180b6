"""`holdfast.enqueue` in an application's own transaction, as a statement with its parameters: for psycopg, asyncpg, SQLAlchemy, Django and others.

    statement = enqueue("mail", {"order": 7}, unique_key="order-7", meta={"tenant": "7"})
    cursor.execute(statement.text, statement.parameters)
    (job_id,) = cursor.fetchone()

It connects to nothing and commits nothing. What is refused raises the driver's own error, which `refusal` reads.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Unpack

import msgspec

from holdfast.client.contents import encode
from holdfast.client.types import PutOptions
from holdfast.errors import BY_CODE, HoldfastError, InvalidRequest

Style = Literal["format", "numeric", "named"]
"""How the driver writes a parameter: `%s` (psycopg, Django), `$1` (asyncpg) or `:name` (SQLAlchemy's `text`)."""

_PLACES: dict[Style, Callable[[str, int], str]] = {
    "format": lambda _, __: "%s",
    "numeric": lambda _, place: f"${place}",
    "named": lambda name, _: f":{name}",
}
_EXACT = {  # the arguments of `enqueue_exact`, with their types
    "type": "text", "priority": "bigint", "delay_ms": "bigint", "run_at": "timestamptz", "max_attempts": "bigint", "lease_ms": "bigint",
    "unique_key": "text", "unique_while": "text", "group_key": "text", "group_limit": "bigint", "tags": "text[]",
    "expires_in_ms": "bigint", "expires_at": "timestamptz",
}  # fmt: skip


class Statement(NamedTuple):
    """What a driver's `execute` takes. It gives one row with one number: the id of the job."""

    text: str
    parameters: list[Any] | dict[str, Any]


def enqueue(
    queue: str,
    payload: Any = None,
    *,
    content_type: str | None = None,
    idempotency_key: str | None = None,
    style: Style = "format",
    exact: bool = False,
    **options: Unpack[PutOptions],
) -> Statement:
    """A call of `holdfast.enqueue`, with the arguments of `Client.enqueue`.

    `payload` is anything that JSON can represent, or bytes, which are stored unchanged with their `content_type`. `exact`: call
    `holdfast.enqueue_exact`, which decides at once and keeps the queue locked until the commit; it takes fewer options.
    """
    given: dict[str, tuple[Any, str]] = {"queue": (queue, "text")}
    if content_type is None and not isinstance(payload, bytes | bytearray | memoryview):
        given["payload"] = encode(payload).decode(), "text"
    else:
        given["payload"] = payload.encode() if isinstance(payload, str) else bytes(payload), "bytea"
        given["content_type"] = content_type or "application/octet-stream", "text"
    if exact:
        for name, value in options.items():
            if name not in _EXACT:
                raise InvalidRequest(f"{name} is not an argument of enqueue_exact.", field=name)
            given[name] = value, _EXACT[name]
    elif options:
        given["options"] = encode(options).decode(), "jsonb"
    if idempotency_key is not None:
        given["idempotency_key"] = idempotency_key, "text"
    place = _PLACES[style]
    named = ", ".join(f"{name} => CAST({place(name, at)} AS {kind})" for at, (name, (_, kind)) in enumerate(given.items(), 1))
    values = {name: value for name, (value, _) in given.items()}
    text = f"SELECT holdfast.{'enqueue_exact' if exact else 'enqueue'}({named})"
    return Statement(text, values if style == "named" else list(values.values()))


def refusal(error: BaseException) -> HoldfastError | None:
    """What a driver's error says, as the error that the client raises over HTTP; None if it is another one.

    Reads errors of psycopg and asyncpg, and those that SQLAlchemy and Django have wrapped around them.
    """
    told: BaseException | None = error
    for _ in range(5):
        if told is None:
            return None
        state = getattr(told, "sqlstate", None) or getattr(told, "pgcode", None)
        if isinstance(state, str) and state.startswith("JQ"):
            said = getattr(told, "diag", None)
            detail = told.__dict__.get("detail") if said is None else said.message_detail
            sentence = str(told) if said is None else said.message_primary
            fields = msgspec.json.decode(detail or "{}", type=dict[str, Any])
            return BY_CODE.get(fields.pop("code", ""), HoldfastError)(sentence, **fields)
        told = getattr(told, "orig", None) or told.__cause__
    return None
