"""What the usual design does under the same strain: one table for all states, a partial index for those that wait, SKIP LOCKED.

There is no server and only the statements are timed, so its figures are better than those of any queue that is built on it.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator

from bench.database import Database

BASELINE = "one table"
BATCH = 100
BEHIND = 20_000
TABLE = """
DROP TABLE IF EXISTS public.onetable;
CREATE TABLE public.onetable(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue int NOT NULL, priority int NOT NULL, state int NOT NULL DEFAULT 0,
  until timestamptz, payload bytea NOT NULL) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX onetable_ready ON public.onetable(queue, priority, id) WHERE state = 0
"""
PUT = "INSERT INTO public.onetable(queue, priority, payload) SELECT 1, 0, %s FROM generate_series(1, %s)"
TAKE = """
WITH next AS MATERIALIZED (SELECT id FROM public.onetable WHERE queue = 1 AND state = 0 ORDER BY priority, id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE public.onetable t SET state = 1, until = now() + interval '30 s' FROM next WHERE t.id = next.id RETURNING t.id
"""
END = "UPDATE public.onetable SET state = 2 WHERE id = ANY(%s)"


def slices(database: Database, count: int, seconds: float, payload_bytes: int) -> Iterator[tuple[int, float, array[float]]]:
    """So many slices of churn under an old snapshot: jobs done, how long it took, and each dequeue's seconds."""
    payload = bytes(payload_bytes)
    with database.session() as connection:
        for statement in TABLE.split(";"):
            connection.execute(statement.encode())
        connection.execute(PUT, (payload, BEHIND))
        with database.old_snapshot("public.onetable"):
            for _ in range(count):
                took, done, began = array("d"), 0, time.perf_counter()
                while time.perf_counter() < began + seconds:
                    connection.execute(PUT, (payload, BATCH))
                    asked = time.perf_counter()
                    taken = [row[0] for row in connection.execute(TAKE, (BATCH,)).fetchall()]
                    took.append(time.perf_counter() - asked)
                    connection.execute(END, (taken,))
                    done += len(taken)
                yield done, time.perf_counter() - began, took
        connection.execute(b"DROP TABLE public.onetable")
