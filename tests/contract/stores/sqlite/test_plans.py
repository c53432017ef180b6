"""No statement of the hot path, and no listing, walks a table where an index should serve."""

import contextlib
import re
import resource
from itertools import product

import apsw
import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.list_statements import SECTIONS, bound_sql, page_sql
from holdfast.stores.sqlite.connect import open_reader, open_writer
from holdfast.stores.sqlite.reader import DIALECT
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.store import SqliteStore

HOT = (
    "next_ready",
    "next_ready_lean",
    "next_ready_for",
    "leased_by_fence",
    "leased_lean",
    "leased_lean_one",
    "leased_by_request",
    "fair_head",
    "fair_next",
    "lines_after",
    "fair_places",
    "fair_places_type",
    "fair_first_jobs",
    "fair_line",
    "fair_clock",
    "fair_clocks",
    "fair_clocks_in_use",
    "expired",
    "due",
    "any_job",
    "next_held",
    "group_places",
    "unique_holder",
    "kept_answer",
    "earliest_until",
    "earliest_scheduled",
    "earliest_schedule",
    "schedules_due",
    "oldest_ready",
    "forgettable",
    "removable_ready_for",
    "removable_held",
    "removable_ready",
    "removable_scheduled",
    "removable_ended",
)
"""Statements that run for every batch or every second."""


@pytest.fixture(scope="module")
def connection():
    made = open_writer(":memory:")
    yield made
    made.close()


TABLES = frozenset(("job", "ready", "ready_for", "held", "leased", "scheduled", "ended", "kept_answer", "audit", *"sjlehkv"))


def scans(connection, statement: str) -> list[str]:
    """Steps of the plan that walk a whole table."""
    bare = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
    numbered = [int(number) for number in re.findall(r"\?(\d+)", bare)]
    nothing = (None,) * (max(numbered) if numbered else bare.count("?"))
    rows = connection.execute("EXPLAIN QUERY PLAN " + bare, nothing, can_cache=False)
    return [text for *_, text in rows if text.startswith("SCAN ") and text.split()[1] in TABLES]


@pytest.mark.parametrize("name", HOT)
def test_a_statement_that_runs_all_the_time_uses_an_index(connection, name):
    assert scans(connection, SQL[name]) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.table}-{section.state.value}")
def test_a_page_of_one_queue_s_jobs_is_read_in_order_without_sorting(connection, section):
    for after in (False, True):
        plan = plan_of(connection, page_sql(DIALECT, section, True, after, False, False, False))
        if section.table != "leased":  # bounded by what is being worked on
            walked = [text for text in plan if text.startswith("SCAN") and text != "SCAN CONSTANT ROW"]
            assert not walked + [text for text in plan if "TEMP B-TREE" in text], plan


def plan_of(connection, statement: str) -> list[str]:
    nothing = dict.fromkeys(re.findall(r":(\w+)", statement))
    return [text for *_, text in connection.execute("EXPLAIN QUERY PLAN " + statement, nothing)]


@pytest.mark.parametrize("name", sorted(SQL))
def test_no_statement_at_all_walks_the_table_of_jobs(connection, name):
    """Its rows carry the payloads, and there may be millions of them."""
    assert [step for step in scans(connection, SQL[name]) if step.split()[1] in ("job", "j", "k")] == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.table}-{section.state.value}")
def test_no_page_of_a_listing_is_sorted_or_walks_the_table_of_jobs(connection, section):
    """Over all queues a first page walks a state's table, in its own order and no further than the page is long."""
    statements = [page_sql(DIALECT, section, *ways) for ways in product((True, False), repeat=5)]
    statements += [bound_sql(section, *ways) for ways in product((True, False), repeat=2)]
    for statement in statements:
        plan = plan_of(connection, statement)
        assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN j ")], plan


def analyze(path):
    """As a user does it, with another program, while one job waits for its time."""
    with contextlib.closing(apsw.Connection(str(path))) as other:
        values = {"queue": 1, "job": 1, "ready_at": 2**52, "priority": 1, "attempt": 1, "failures": 0, "crashes": 0}
        names = ", ".join(values)
        other.execute(f"INSERT INTO scheduled({names}) VALUES ({', '.join(f':{name}' for name in values)})", values)
        other.execute("ANALYZE")
        other.execute("DELETE FROM scheduled")


def scans_now(connection) -> list[str]:
    """As it plans once it has noticed that the file has changed, which EXPLAIN alone does not."""
    connection.execute("SELECT count(*) FROM scheduled").fetchall()
    return scans(connection, SQL["due"])


def test_statistics_that_somebody_left_in_the_file_are_removed_before_anything_is_planned(tmp_path):
    path = tmp_path / "jobs.db"
    open_writer(str(path)).close()
    analyze(path)
    other = apsw.Connection(str(path))
    assert scans_now(other), "it would not matter"

    writer = open_writer(str(path))
    for connection in (writer, other, open_reader(path)):
        assert scans_now(connection) == []
        connection.close()


async def test_statistics_that_are_made_while_it_is_served_are_removed_too(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    reader = open_reader(tmp_path / "jobs.db")
    analyze(tmp_path / "jobs.db")
    assert scans_now(store._writer), "it would not matter"

    await store.tend()
    assert scans_now(store._writer) == []
    assert scans_now(reader) == []
    reader.close()
    await store.close()


@pytest.mark.parametrize("limit", [resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE], ids=["no room by a quota", "no more files"])
async def test_statistics_that_can_not_be_removed_now_are_removed_later_and_stop_nothing(tmp_path, limit):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    analyze(tmp_path / "jobs.db")
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (0, before[1]))
    try:
        await store.tend()
    finally:
        resource.setrlimit(limit, before)
    assert scans_now(store._writer), "they are still there"
    await store.tend()
    assert scans_now(store._writer) == []
    await store.close()


def test_a_statement_without_an_index_is_found_out(connection):
    assert scans(connection, "SELECT * FROM job j WHERE j.type = ?") == ["SCAN j"]
    assert any("TEMP B-TREE" in step for step in plan_of(connection, "SELECT id FROM job j ORDER BY j.size"))
