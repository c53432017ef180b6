"""No statement of the hot path, and no listing, walks a table where an index should serve."""

import pytest

from holdfast.stores.sqlite.connect import open_writer
from holdfast.stores.sqlite.listing import SECTIONS, page_sql
from holdfast.stores.sqlite.sql import SQL

HOT = (
    "next_ready",
    "next_ready_for",
    "leased_by_fence",
    "leased_by_request",
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


TABLES = frozenset(("job", "ready", "ready_for", "held", "leased", "scheduled", "ended", "kept_answer", *"sjlehkv"))


def scans(connection, statement: str) -> list[str]:
    """Steps of the plan that walk a whole table."""
    bare = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
    numbered = [int(part[0]) for part in bare.split("?")[1:] if part[:1].isdigit()]
    rows = connection.execute("EXPLAIN QUERY PLAN " + bare, (None,) * (max(numbered) if numbered else bare.count("?")))
    return [text for *_, text in rows if text.startswith("SCAN ") and text.split()[1] in TABLES]


@pytest.mark.parametrize("name", HOT)
def test_a_statement_that_runs_all_the_time_uses_an_index(connection, name):
    assert scans(connection, SQL[name]) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.table}-{section.state.value}")
def test_a_page_of_one_queue_s_jobs_is_read_in_order_without_sorting(connection, section):
    names = ("queue", "limit", "k0", "k1", "k2")
    for after in (False, True):
        plan = [
            text
            for *_, text in connection.execute(
                "EXPLAIN QUERY PLAN " + page_sql(section, True, after, False, False), dict.fromkeys(names)
            )
        ]
        if section.table != "leased":  # bounded by what is being worked on
            assert not [text for text in plan if text.startswith("SCAN") or "TEMP B-TREE" in text], plan
