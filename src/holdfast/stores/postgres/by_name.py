"""The part of the schema's step 4 that SQL can't do: columns that stood by place are read, and written by name. See `stores/positional.py`."""

from typing import Any

from holdfast.stores import positional

_ROWS = 2_000  # written together
_BYTES = 4 << 20
_ANSWER_S = 300.0  # of one statement: a server that has stopped is given up, and the step is begun anew
_COLUMNS = (
    (
        "SELECT id, convert_to(extras, 'UTF8') FROM job WHERE extras IS NOT NULL",
        "UPDATE job j SET extras = convert_from(v.extras, 'UTF8') FROM unnest($1::bigint[], $2::bytea[]) v(id, extras) WHERE j.id = v.id",
        positional.extras,
        500,
    ),
    (
        "SELECT job, followers FROM ended WHERE followers IS NOT NULL",
        "UPDATE ended e SET followers = v.followers FROM unnest($1::bigint[], $2::bytea[]) v(job, followers) WHERE e.job = v.job",
        positional.receipts,
        100,
    ),
    (
        "SELECT scope, key, receipts FROM kept_answer",
        "UPDATE kept_answer k SET receipts = v.receipts FROM unnest($1::text[], $2::text[], $3::bytea[]) v(s, k, receipts) WHERE scope = s AND key = k",
        positional.receipts,
        100,
    ),
    (
        "SELECT name, state FROM schedule",
        "UPDATE schedule s SET state = v.state FROM unnest($1::text[], $2::bytea[]) v(name, state) WHERE s.name = v.name",
        positional.schedule,
        16,
    ),
)
"""How each column is read, behind the key of its row; how it is written; what turns it; and how many rows are fetched at once, so that memory has a bound."""


async def convert(connection: Any) -> None:
    """Turn all rows, within the transaction that the connection is in."""
    await connection.execute(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
    )
    for read, write, by_name, at_once in _COLUMNS:
        turned: list[tuple[Any, ...]] = []
        size = 0
        async for row in connection.cursor(read, prefetch=at_once, timeout=_ANSWER_S):
            *key, column = row
            named = by_name(column)
            if named is None:
                continue
            turned.append((*key, named))
            size += len(named)
            if len(turned) >= _ROWS or size >= _BYTES:
                await connection.execute(write, *map(list, zip(*turned, strict=True)), timeout=_ANSWER_S)
                turned, size = [], 0
        if turned:
            await connection.execute(write, *map(list, zip(*turned, strict=True)), timeout=_ANSWER_S)
