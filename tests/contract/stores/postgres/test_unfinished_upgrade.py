"""What nodes of the release before could not read is refused while they may serve the database, whichever way it comes."""

import pytest
from msgspec.structs import replace

from holdfast.cli.importing import Importer
from holdfast.errors import UpgradeUnfinished
from holdfast.job import lifecycle
from holdfast.job.budget import Charge
from holdfast.job.closing import Closes, Closing
from holdfast.job.job import Content, Extras, NewJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import Schedule, ScheduleSpec
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import EditJob, Enqueue, PauseType, RegisterWorker, SetQueue, SetSchedule
from holdfast.messages.fair_commands import SetFairWeight
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.stores.exported import BatchLine, BudgetLine, QueueLine, Whole, line_of_schedule
from holdfast.stores.postgres.migrate import NEWEST
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, postgres_server

LATER = 4_000_000_000_000
EXTRAS = {
    "expires_at": Extras(expires_at=LATER),
    "batch": Extras(batch=1),
    "closes": Extras(closes=Closes(1, Closing.SUCCESS)),
    "budgets": Extras(budgets=(Charge("calls"),)),
    "fair_key": Extras(fair_key="a"),
    "fair_cost": Extras(fair_cost=2),
}
COMMANDS = {
    "a deadline": Enqueue([NewJob("q", b"1", expires_in_ms=1_000)]),
    "a moment": Enqueue([NewJob("q", b"1", extras=Extras(expires_at=LATER))]),
    "another deadline": EditJob(1, expires_in_ms=1_000),
    "a queue's deadline": SetQueue("q", QueueSettings(expires_in_ms=1_000), whole=True),
    "a queue's budgets": SetQueue("q", QueueSettings(budgets=(Charge("calls"),)), whole=True),
    "a schedule's deadline": SetSchedule("s", ScheduleSpec(NewJob("q", b"1", expires_in_ms=1_000), interval_ms=60_000), False),
    "a schedule's moment": SetSchedule(
        "s", ScheduleSpec(NewJob("q", b"1", extras=EXTRAS["expires_at"]), interval_ms=60_000), False
    ),
    "a schedule's budgets": SetSchedule(
        "s", ScheduleSpec(NewJob("q", b"1", extras=EXTRAS["budgets"]), interval_ms=60_000), False
    ),
    "a schedule's fair key": SetSchedule(
        "s", ScheduleSpec(NewJob("q", b"1", extras=EXTRAS["fair_key"]), interval_ms=60_000), False
    ),
    "a fair key": Enqueue([NewJob("q", b"1", extras=EXTRAS["fair_key"])]),
    "a fair cost": Enqueue([NewJob("q", b"1", extras=EXTRAS["fair_cost"])]),
    "a fair queue": SetQueue("q", QueueSettings(fair=True), whole=True),
    "a weight": SetFairWeight("q", "a", 2),
    "a budget": SetBudget("calls", 5),
    "a batch": MakeJobBatch([NewJob("q", b"1")]),
    "a paused type": PauseType("q", "a", True),
    "a worker's types": RegisterWorker("w-1", "", ("q",), ("a",)),
}


def whole(extras):
    job = lifecycle.enqueue(NewJob("q", b"1"), 7, 1, 3, 1_000)
    return Whole(replace(job, extras=extras), Content("", None, b"1"))


def scheduled(job):
    return line_of_schedule(Schedule("s", ScheduleSpec(job, interval_ms=60_000), False, 1_000, LATER, LATER))


ITEMS = {
    **{f"a job with {name}": whole(extras) for name, extras in EXTRAS.items()},
    "a queue's deadline": QueueLine("q", 1_000, QueueSettings(expires_in_ms=1_000)),
    "a queue's budgets": QueueLine("q", 1_000, QueueSettings(budgets=(Charge("calls"),))),
    "a queue's paused types": QueueLine("q", 1_000, paused_types=("a",)),
    "a fair queue": QueueLine("q", 1_000, QueueSettings(fair=True)),
    "weights": QueueLine("q", 1_000, fair_weights={"a": 2}),
    "a budget": BudgetLine("calls", 5, 1_000),
    "a batch": BatchLine(7, "", 1_000, ["q"], True, 0, 0),
    "a schedule's deadline": scheduled(NewJob("q", b"1", expires_in_ms=1_000)),
    "a schedule's budgets": scheduled(NewJob("q", b"1", extras=EXTRAS["budgets"])),
}


@pytest.fixture
async def client():
    """As while nodes of the release before may serve."""
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy()))
    await opened.store.tend()
    await opened.put()
    finish = f"UPDATE holdfast.schema_version SET min_compatible = {NEWEST}"
    postgres_server().sql(f"{finish} - 1", database="holdfast")
    yield opened
    postgres_server().sql(finish, database="holdfast")
    await opened.count_again()
    await opened.close()


@pytest.mark.parametrize("what", COMMANDS)
async def test_no_command_stores_it(client, what):
    with pytest.raises(UpgradeUnfinished):
        await client.do(COMMANDS[what])


@pytest.mark.parametrize("what", ITEMS)
async def test_no_import_stores_it(client, what):
    importer = Importer(client.store, 2_000)
    await importer.take(1, 100, ITEMS[what])
    with pytest.raises(UpgradeUnfinished):
        await importer.finish()


async def test_what_they_know_is_taken(client):
    importer = Importer(client.store, 2_000)
    for item in (QueueLine("p", 1_000, QueueSettings(max_attempts=3)), whole(Extras(tags=("a",), meta=(("b", "c"),)))):
        await importer.take(1, 100, item)
    await importer.finish()
    assert importer.done.jobs == 1
