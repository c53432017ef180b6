"""A job whose extras nobody can decode is named by a check, and what the page on operations says mends it."""

import asyncio
import sqlite3

import pytest

from holdfast.job.budget import Charge
from holdfast.job.job import BeanstalkCounters, State
from holdfast.job.queue import QueuePolicy
from holdfast.job.retry import RetryPolicy
from holdfast.limits import LEASE_GRACE_MS
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease
from holdfast.messages.queries import CountJobs, ListJobs
from holdfast.stores import check
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, new, postgres_server
from tests.system.docs.pages import blocks, read

SPOILED = ['{"unique_key":"k', "[5]", '{"lease_ms":"soon"}', "", '{"lease_ms":5,"retries":5}']


class InFile:
    """A store file; it is changed while nobody serves it."""

    mending = 0

    def __init__(self, folder):
        self._path = folder / "jobs.db"

    def open(self):
        return StoreClient(SqliteStore(self._path, QueuePolicy()))

    def change(self, statement, *values):
        with sqlite3.connect(self._path) as other:
            other.execute(statement, values)
        other.close()

    async def check(self):
        return await asyncio.to_thread(maintenance.check, self._path)


class InDatabase:
    mending = 1

    def __init__(self, _):
        self._url = empty_database()

    def open(self):
        return StoreClient(PostgresStore(self._url, QueuePolicy()))

    def change(self, statement, *values):
        with postgres_server().connect(database="holdfast") as other:
            other.execute("SET search_path = holdfast")
            other.execute(statement.replace("?", "%s"), values)

    async def check(self):
        return await database.check(self._url)


@pytest.fixture(params=[InFile, InDatabase], ids=["sqlite", "postgres"])
def place(request, tmp_path):
    return request.param(tmp_path)


def mending(place, number):
    """What the page says, for another job."""
    found = [block.text for block in blocks(read("docs/operations.md")) if block.language == "sql"]
    assert len(found) == 2
    assert found[place.mending].rstrip().endswith("id = 7")
    return found[place.mending].rstrip().removesuffix("7") + str(number)


async def filled(place):
    """1 leased, 2 waits, 3 is held behind it, 4 to 6 are plain but for tags; everything is sound."""
    client = place.open()
    await client.put(unique_key="a", group_key="g", tags=("x",))
    await client.take()
    await client.put(unique_key="b", group_key="h", tags=("x",))
    await client.put(unique_key="c", group_key="h", tags=("x",))
    for n in range(3):
        await client.put("other", tags=(f"{n}",), meta=(("n", f"{n}"),))
    await client.close()
    assert await place.check() == []


@pytest.mark.parametrize("text", SPOILED)
async def test_a_job_whose_extras_are_spoiled_is_named_and_nothing_else(place, text, monkeypatch):
    monkeypatch.setattr(check, "_SHOWN", 8)
    await filled(place)
    place.change("UPDATE job SET extras = ? WHERE id = 5", text)
    problems = await place.check()
    assert problems[0].startswith(f"extras can be read: job 5 of queue other has {text[:8]!r}: ")
    assert [problem for problem in problems if "job " in problem] == problems[:1]
    assert problems[1:] == [
        f"{name} agree: can't be checked before all extras can be read"
        for name in ("accounts", "deadlines", "group places", "unique keys")
    ]


BEYOND_A_DATABASE = [
    '{"tags":["\\u0000"]}',
    '{"lease_ms":1e9999999,"tags":["b"]}',
    '{"tags":,"\\ud800"}',
    '{"tags":' * 9_000,
]


@pytest.mark.parametrize("text", [*SPOILED, *BEYOND_A_DATABASE])
async def test_a_job_whose_extras_are_spoiled_keeps_no_filter_from_finding_the_others(place, text):
    await filled(place)
    place.change("UPDATE job SET extras = ? WHERE id IN (1, 5)", text)
    client = place.open()
    for queue, name in ((None, "0"), ("other", "0"), (None, "2"), ("other", "2"), (None, "x")):
        page = await client.ask(ListJobs(100, queue=queue, tag=name))
        assert [one.job.id for one in page.jobs] == ([2, 3] if name == "x" else [int(name) + 4])
        assert sum((await client.ask(CountJobs(queue, tag=name))).counts.values()) == len(page.jobs)
        page = await client.ask(ListJobs(100, queue=queue, meta=(("n", name),)))
        assert [one.job.id for one in page.jobs] == ([] if name == "x" else [int(name) + 4])
    await client.close()


async def test_a_tag_is_found_whatever_it_and_what_stands_beside_it_are_made_of(place):
    tags = ('say "hi"', "back\\slash", "a/b", "grün", "\U0001f600", "tab\there", "bell\x07", "del\x7f", "[", ",", "null", " ")
    client = place.open()
    put = await client.put(
        tags=tags, retry=RetryPolicy(), beanstalk=BeanstalkCounters(5, 1), lease_ms=5_000, group_key='g"', unique_key="k,["
    )
    for tag in tags:
        assert [one.job.id for one in (await client.ask(ListJobs(100, tag=tag))).jobs] == [put.id], tag
    await client.close()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "Grün")
    pair = "\\ud83d\\uDE00"
    place.change(
        "UPDATE job SET extras = ?",
        f'{{"a": 5, "b": -0.25, "c": 1e3, "d": true, "e": [], "tags": ["{escaped}", "{pair}\\u000a\\u0a00"], "f": {{"w": null}}}}',
    )
    client = place.open()
    for tag in ("Grün", "\U0001f600\n\u0a00"):
        assert [one.job.id for one in (await client.ask(ListJobs(100, tag=tag))).jobs] == [put.id], tag
    await client.close()


async def test_bytes_that_are_no_text_are_named_too(tmp_path):
    place = InFile(tmp_path)
    await filled(place)
    place.change("UPDATE job SET extras = CAST(x'5bff5d' AS TEXT) WHERE id = 5")
    assert (await place.check())[0].startswith("extras can be read: job 5 of queue other has '[\ufffd]': ")


async def test_they_are_looked_for_page_by_page_and_as_many_are_named_as_of_any_other_kind(place, monkeypatch):
    await filled(place)
    for module in (maintenance, database):
        monkeypatch.setattr(module, "PAGE", 2)
        monkeypatch.setattr(module, "TOLD", 3)
    place.change("UPDATE job SET extras = '[' WHERE id IN (2, 6)")
    assert [problem.split()[5] for problem in (await place.check())[:2]] == ["2", "6"]
    place.change("UPDATE job SET extras = '['")
    assert [problem.split()[5] for problem in (await place.check())[:3]] == ["1", "2", "3"]


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_the_page_says_mends_a_job_in_whatever_place(place, number):
    await filled(place)
    place.change("UPDATE job SET extras = '[' WHERE id = ?", number)
    client = place.open()
    assert (await client.job(number)).extras.unreadable
    await client.close()
    place.change(mending(place, number))
    assert await place.check() == []
    client = place.open()
    extras = (await client.job(number)).extras
    assert (extras.unique_key, extras.group_key) == (" abc"[number], " ghh"[number])
    assert [granted.job.id for granted in await client.lease(limit=5)] == [2]
    await client.count_again()
    await client.close()


@pytest.mark.parametrize("text", SPOILED)
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_a_job_cost_whose_extras_are_spoiled_comes_back_when_it_leaves(place, text, number):
    client = place.open()
    await client.do(SetBudget("b", 5))
    cost = (Charge("b", "", 2), Charge("b", "k"))
    await client.put_all([new(budgets=cost) for _ in range(5)])
    await client.lease(limit=1)
    await client.close()
    place.change("UPDATE job SET extras = ? WHERE id = ?", text, number)
    client = place.open()
    await client.pass_time(QueuePolicy().lease_ms + LEASE_GRACE_MS)
    left = {1, 2, 3, 4, 5}
    for _ in range(20):
        await client.pass_time(10_000)
        for granted in await client.lease(limit=5):
            left.discard(granted.job.id)
            await client.do(ConcludeLease(granted.job.ref()))
    assert left <= {number}
    assert await client.state(number) is State.DEAD
    await client.put_all([new(budgets=cost) for _ in range(3)])
    assert len(await client.lease(limit=5)) == 2, "all units are there again"
    await client.count_again()
    await client.close()
    assert not [one for one in await place.check() if "account" in one]


async def test_what_is_next_by_queue_is_counted_anew_also_where_all_queues_together_are_right(place):
    client = place.open()
    await client.do(SetBudget("b", 5))
    await client.do(SetBudget("other", 5))
    await client.put_all([new(budgets=(Charge("b"),)), new("elsewhere", budgets=(Charge("other"),))])
    await client.lease(limit=1)
    await client.close()
    place.change("UPDATE budget_account SET by_queue = replace(by_queue, 'elsewhere', 'nowhere') WHERE account = 'other/'")
    assert [one for one in await place.check() if "account other/ counts others" in one]
    place.change("UPDATE job SET extras = '[5]' WHERE id = 1")
    client = place.open()
    await client.pass_time(QueuePolicy().lease_ms + LEASE_GRACE_MS)
    await client.pass_time(10_000)
    await client.close()
    assert not [one for one in await place.check() if "account" in one]
