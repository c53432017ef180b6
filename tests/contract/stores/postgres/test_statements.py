"""What a connection keeps of the statements that it has prepared is bounded, here and in PostgreSQL: a batch makes one of each combination of what it
writes, and there are thousands.
"""

import gc
import random
import tracemalloc

import pytest

from holdfast.stores.postgres.connect import WRITER, connect
from holdfast.stores.postgres.migrate import migrate
from holdfast.stores.postgres.sql import _ORDER, STATEMENTS_KEPT, in_steps, together
from tests.contract.stores.conformance.conftest import empty_database

KEPT_BYTES = 3 << 19  # 1.5 MiB: the twentieth part of what a server takes


@pytest.fixture
async def connection():
    made = await connect(empty_database(), WRITER, unwavering=True)
    await migrate(made)
    yield made
    made.terminate()


def combinations(count):
    draw, found = random.Random(1), {}
    while len(found) < count:
        found.update(dict.fromkeys(in_steps(draw.sample(_ORDER, draw.randint(2, 9)))))
    return list(found)[:count]


async def test_ever_new_combinations_of_what_a_batch_writes_take_a_bounded_part_of_memory(connection):
    together.cache_clear()
    gc.collect()
    tracemalloc.start()
    try:
        for names in combinations(2 * STATEMENTS_KEPT):
            await connection._get_statement(together(names), None)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < KEPT_BYTES
    there = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
    assert there <= STATEMENTS_KEPT + 1, "PostgreSQL takes 80 kB for each"
