"""Rows with invalid UTF-8: read as bytes, so that one of them does not keep the others from being read."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from holdfast.stores.rows import EXTRAS_PLACE, JOB_COLUMNS, Row


def fetch_undecodable(
    connection: apsw.Connection, sql: str, bindings: Sequence[Any] | Mapping[str, Any], *, of_jobs: bool = True
) -> list[Row]:
    """The rows of a statement. Invalid text gets replacement characters, and if the row is a job's (`of_jobs`: long rows are),
    its extras become unreadable too: what its worker would get is not what was enqueued.
    """
    try:
        return list(connection.execute(sql, dict(bindings) if isinstance(bindings, Mapping) else tuple(bindings)).fetchall())
    except UnicodeDecodeError:
        pass
    import apsw.ext  # noqa: PLC0415  (8 ms of every start, for rows that hardly any store has)

    inner = sql.rstrip().rstrip(";")
    width = len(apsw.ext.query_info(connection, inner).description)
    names = ", ".join(f"c{n}" for n in range(width))
    casts = ", ".join(
        f"CASE typeof(c{n}) WHEN 'text' THEN CAST(c{n} AS BLOB) ELSE c{n} END, typeof(c{n})" for n in range(width)
    )
    wrapped = f"WITH whole({names}) AS MATERIALIZED (\n{inner}\n) SELECT {casts} FROM whole"  # noqa: S608  (fixed names)
    return [
        _decoded(row, of_jobs)
        for row in connection.execute(wrapped, dict(bindings) if isinstance(bindings, Mapping) else tuple(bindings)).fetchall()
    ]


def is_text(value: bytes) -> bool:
    """Whether these bytes are UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(row: Row, of_jobs: bool) -> Row:
    spoiled: str | None = None
    values: list[Any] = []
    for value, kind in zip(row[::2], row[1::2], strict=True):
        if kind == "text":
            try:
                values.append(bytes(value).decode())
                continue
            except UnicodeDecodeError as error:
                spoiled = spoiled or str(error)
                values.append(bytes(value).decode(errors="replace"))
        else:
            values.append(value)
    if spoiled is not None and of_jobs and len(values) >= JOB_COLUMNS:
        values[EXTRAS_PLACE] = f"text that is none: {spoiled}"
    return values
