"""No statement reads a big table from end to end: each finds its rows by an index, or walks one in order no further than it was told to."""

import asyncio
import re
from itertools import product

import psycopg
import pytest

from cluster.postgres import server
from cluster.programs import find, installed
from holdfast.job.queue import QueuePolicy
from holdfast.stores.list_statements import SECTIONS, bound_sql, count_sql, page_sql
from holdfast.stores.postgres.connect import READER, WRITER
from holdfast.stores.postgres.reader import DIALECT, numbered_parameters
from holdfast.stores.postgres.sql import SQL, in_steps, together
from holdfast.stores.postgres.store import PostgresStore

ROWS = 20_000
FILL = {
    "queue": "INSERT INTO queue(name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, seen_at, ready_floors)"
    " SELECT 'q' || n, '{}', 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, NULL",
    "job": "INSERT INTO job SELECT n, n % 10 + 1, 1024, 25, 1, 1, 'type', NULL, NULL, '1'",
    "ready": "INSERT INTO ready SELECT n % 10 + 1, 1024, n, 1, 0, 0, 0",
    "held": "INSERT INTO held SELECT n % 10 + 1, 'group' || n % 100, n, 1024, 1, 0, 0, 0",
    "ready_for": "INSERT INTO ready_for SELECT 'w' || n % 100, n % 10 + 1, 1024, n, 1, 0, 0, 0",
    "group_place": "INSERT INTO group_place SELECT n % 10 + 1, 'group' || n % 100, n",
    "leased": "INSERT INTO leased SELECT n, n, n % 10 + 1, 1024, n, 1, 1, 1, 0, 0, false, '1', 'w' || n % 100, NULL",
    "scheduled": "INSERT INTO scheduled SELECT n, n % 10 + 1, n, 1024, 0, 0, 0",
    "ended": "INSERT INTO ended(job, queue, state, priority, ended_at, ready_at, attempt, failures, crashes)"
    " SELECT n, n % 10 + 1, CASE WHEN n % 50 = 0 THEN 'dead' WHEN n % 50 = 1 THEN 'cancelled' ELSE 'concluded' END, 1024, n, 1, 1, 0, 0",
    "job_error": "INSERT INTO job_error SELECT n, 1, 1, '', 'failed', 'no', '1', 1",
    "progress": "INSERT INTO progress SELECT n, '1'",
    "unique_key": "INSERT INTO unique_key SELECT n % 10 + 1, 'key' || n, n",
    "kept_answer": "INSERT INTO kept_answer SELECT 'q1', 'key' || n, '1', '1', n, n, n",
    "audit": "INSERT INTO audit SELECT n, n, 'queue.pause', 'q1', '', '', 'done', 1, 0, 'anna', '127.0.0.1', 'http', 'run' || n, 200",
}
"""The tables that grow with the jobs, or with the queues, and a row for each `n`."""

SITUATIONS = {
    "even": {},
    "one-queue-of-many-has-nearly-all": {"n % 10 + 1": "CASE WHEN n % 20 = 0 THEN n / 10 ELSE 7 END"},
    "one-queue-one-group-one-worker": {"n % 10 + 1": "1", "'group' || n % 100": "'group'", "'w' || n % 100": "'w'"},
}
"""How the rows are spread when PostgreSQL counts them: what it says instead of what is above."""

WALKS = {
    "seen_held": "asked by doctor: there are few queues beside jobs",
    "worker_lines": "asked by who looks at the list of workers",
    "orphans": "what registered workers have to themselves, and no more of it than a chunk",
    "passing_queues": "the same",
    "queue_count": "asked for a new queue; they have a bound",
    "count_audit": "a tally that can't be true, once",
    "queues_with_budgets": "asked when a budget is deleted; queues have a bound",
    "fair_leased": "asked by who looks at the shares of a queue: leased jobs up to a bound",
    "count_anew": "a queue in which something was damaged, once",
    "charged_jobs": "once a job leaves whose row was damaged",
    "clamp_seen": "every queue, once at a start after an outage",
    "clamp_ended": "the same",
    "tallies": "every queue, for the page's sum over all",
    "count_ready_floors": "every queue and every ready job, once at the end of a move",
}
"""Statements that may walk a whole table, and why."""

SORTED = ("Sort", "Incremental Sort", "Aggregate", "Hash", "Hash Join", "Merge Join", "WindowAgg", "Unique", "SetOp")
PLANNING = {name: value for name, value in WRITER.items() if READER.get(name) == value}
"""How both kinds of connections plan."""
WRITING = sorted(name for name in SQL if in_steps([name]))


@pytest.fixture(scope="module", params=[programs.major for programs in installed()])
def database(request, tmp_path_factory):
    """A server of each version that is here: each plans in its own way."""
    with server(tmp_path_factory.mktemp("planning"), programs=find(request.param), settings={"fsync": "off"}) as one:
        yield one


@pytest.fixture(scope="module", params=SITUATIONS)
def connection(database, request):
    """One that plans as ours do, in a transaction in which every table is big."""
    url = database.url()
    asyncio.run(make_schema(url))
    with psycopg.connect(url) as made:
        for name, value in PLANNING.items():
            made.execute("SELECT set_config(%s, %s, false)", [name, value])
        for statement in FILL.values():
            spread = statement
            for even, instead in SITUATIONS[request.param].items():
                spread = spread.replace(even, instead)
            made.execute(f"{spread} FROM generate_series(1, {ROWS}) n")
        made.execute("ANALYZE " + ", ".join(FILL))
        yield made
        made.rollback()


async def make_schema(url):
    store = PostgresStore(url, QueuePolicy())
    await store.tend()
    await store.close()


def plan(connection, statement):
    """The plan with which it is carried out, whatever it is given."""
    count = max((int(number) for number in re.findall(r"\$(\d+)", statement)), default=0)
    connection.execute(f"PREPARE one AS {statement}")
    nothing = f"({', '.join(['NULL'] * count)})" if count else ""
    ((found,),) = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE one{nothing}").fetchall()
    connection.execute("DEALLOCATE one")
    return found[0]["Plan"]


def walks(step, limited=False, kept=False):
    """The steps that walk a big table: not by a key, and not in an index's order under a limit; or that keep what they find, to look through all
    of it again and again.
    """
    kind = step["Node Type"]
    if kind == "Limit":
        limited, kept = True, False
    elif kind in SORTED:
        limited = False
    found = []
    if step.get("Relation Name") in FILL and kind not in ("ModifyTable", "LockRows"):
        in_order = limited and kind in ("Index Scan", "Index Only Scan")
        if kept or ("Index Cond" not in step and kind != "Tid Scan" and not in_order):
            found.append(f"{kind} on {step['Relation Name']}")
    for below in step.get("Plans", ()):
        found += walks(below, limited, kept or kind == "Materialize")
    return found


def steps_on(step, table):
    """All steps of a plan that read a table."""
    found = [step] if step.get("Relation Name") == table and "Scan" in step["Node Type"] else []
    return found + [one for below in step.get("Plans", ()) for one in steps_on(below, table)]


@pytest.mark.parametrize("name", sorted(set(SQL) - set(WRITING) - set(WALKS)))
def test_a_statement_finds_its_rows_by_an_index(connection, name):
    assert walks(plan(connection, SQL[name])) == []


@pytest.mark.parametrize("step", in_steps(WRITING), ids=lambda step: f"{step[0]}-and-{len(step) - 1}-more")
def test_what_a_batch_writes_together_finds_its_rows_by_an_index(connection, step):
    assert walks(plan(connection, together(step))) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.table}-{section.state.value}")
def test_a_page_of_a_listing_is_read_in_the_order_of_an_index(connection, section):
    statements = [page_sql(DIALECT, section, *ways) for ways in product((True, False), repeat=5)]
    statements += [bound_sql(section, *ways) for ways in product((True, False), repeat=2)]
    statements += [
        count_sql(DIALECT, section, one_queue, after, True, scoped)
        for one_queue, after, scoped in product((True, False), repeat=3)
    ]
    found = {statement: walks(plan(connection, numbered_parameters(statement)[0])) for statement in statements}
    assert {statement: steps for statement, steps in found.items() if steps} == {}


@pytest.mark.parametrize("name", ["next_ready_for", "next_ready_for_types"])
def test_jobs_for_one_worker_are_found_among_those_of_all_by_its_name(connection, name):
    (step,) = steps_on(plan(connection, SQL[name]), "ready_for")
    assert "worker = " in step["Index Cond"]


@pytest.mark.parametrize(
    "section",
    [one for one in SECTIONS if one.table not in ("leased", "scheduled")],
    ids=lambda one: f"{one.table}-{one.state.value}",
)
def test_the_jobs_of_one_queue_are_found_among_those_of_all(connection, section):
    """Also where there is but one queue, when they are counted: another may have a few jobs beside it soon. Leased ones are few; scheduled ones of all
    queues are in one order, too, and may be walked by it.
    """
    statements = [page_sql(DIALECT, section, True, *ways) for ways in product((True, False), repeat=4)]
    statements += [bound_sql(section, True, after) for after in (True, False)]
    for statement in statements:
        for step in steps_on(plan(connection, numbered_parameters(statement)[0]), section.table):
            cond = step.get("Index Cond", "")
            assert "queue = " in cond or "job = " in cond, (statement, step["Index Name"], cond)


def test_the_newest_dead_jobs_of_one_queue_are_found_among_those_of_all(connection):
    assert "queue = " in steps_on(plan(connection, SQL["dead_recently_in"]), "ended")[0]["Index Cond"]


def test_jobs_that_wait_for_their_group_are_found_in_it_and_not_among_all_jobs_in_order(connection):
    found = plan(connection, SQL["next_held"])
    assert [step["Index Cond"] for step in steps_on(found, "job")] == ["(id = held.job)"]
    assert "group_key = " in steps_on(found, "held")[0]["Index Cond"]


def test_the_inbox_asks_for_its_jobs_one_by_one(connection):
    """However few jobs there are when it is planned: there may soon be many."""
    connection.execute("SAVEPOINT few")
    connection.execute("TRUNCATE job")
    connection.execute(f"{FILL['job']} FROM generate_series(1, 300) n")
    connection.execute("ANALYZE job")
    found = walks(plan(connection, SQL["lock_inbox"]))
    connection.execute("ROLLBACK TO few")
    assert found == []


def test_a_statement_without_an_index_is_found_out(connection):
    assert walks(plan(connection, "SELECT * FROM job WHERE type = $1 LIMIT 1")) == ["Seq Scan on job"]
    assert walks(plan(connection, "SELECT id FROM job ORDER BY size LIMIT 1")) == ["Seq Scan on job"]
    assert walks(plan(connection, "SELECT max(id) FROM job")) == []
