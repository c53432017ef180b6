"""Jobs in their order with their contents, read row by row so that no more bytes are loaded than one answer may have."""

from collections.abc import Callable
from typing import Any

import apsw

from holdfast.limits import GRANT_BYTES
from holdfast.stores import rows
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.sqlite.sql import BARE, SQL


def read_in_order(db: apsw.Connection, statement: str, bindings: tuple[Any, ...], name_of: Callable[[Any], str]) -> OrderedJobs:
    """Jobs with their content up to the bound in bytes, and those behind it without."""
    found: OrderedJobs = []
    size = 0
    for row in db.execute(SQL[statement], bindings):
        found.append((rows.job_of(row, name_of(row[1])), rows.content_of(row[rows.JOB_COLUMNS :])))
        size += len(row[-1])
        if size >= GRANT_BYTES:
            break
    else:
        return found
    bare = db.execute(BARE[statement], (*bindings, len(found))).fetchall()
    return found + [(rows.job_of(row, name_of(row[1])), None) for row in bare]
