"""No statement of the hot path, and no listing, walks a table where an index should serve."""

import re
from itertools import product

import pytest

from holdfast.stores.list_statements import SECTIONS, bound_sql, page_sql
from holdfast.stores.sqlite.connect import open_writer
from holdfast.stores.sqlite.reader import DIALECT
from holdfast.stores.sqlite.sql import SQL

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
    rows = connection.execute("EXPLAIN QUERY PLAN " + bare, (None,) * (max(numbered) if numbered else bare.count("?")))
    return [text for *_, text in rows if text.startswith("SCAN ") and text.split()[1] in TABLES]


@pytest.mark.parametrize("name", HOT)
def test_a_statement_that_runs_all_the_time_uses_an_index(connection, name):
    assert scans(connection, SQL[name]) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.table}-{section.state.value}")
def test_a_page_of_one_queue_s_jobs_is_read_in_order_without_sorting(connection, section):
    for after in (False, True):
        plan = plan_of(connection, page_sql(DIALECT, section, True, after, False, False, False))
        if section.table != "leased":  # bounded by what is being worked on
            assert not [text for text in plan if text.startswith("SCAN") or "TEMP B-TREE" in text], plan


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


def test_a_statement_without_an_index_is_found_out(connection):
    assert scans(connection, "SELECT * FROM job j WHERE j.type = ?") == ["SCAN j"]
    assert any("TEMP B-TREE" in step for step in plan_of(connection, "SELECT id FROM job j ORDER BY j.size"))
