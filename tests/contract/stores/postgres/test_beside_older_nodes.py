"""Until the upgrade is finished, nothing is stored that a node of the release before could not read."""

import pytest

from holdfast.errors import UpgradeUnfinished
from holdfast.job.budget import Charge
from holdfast.job.closing import Closing
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, Enqueue, SetQueue, SetSchedule
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.messages.queries import ListSchedules
from holdfast.stores.postgres.migrate import NEWEST, beside
from tests.contract.stores.conformance.conftest import Postgres, StoreClient, new, postgres_server

BUDGETS = (Charge("b"),)


@pytest.fixture
async def client(tmp_path):
    """With a batch, number 1, and its job, made when no such node could serve; now one may."""
    client = StoreClient(Postgres(tmp_path).open(QueuePolicy()))
    await client.do(MakeJobBatch([new()]))
    postgres_server().sql(f"UPDATE holdfast.schema_version SET min_compatible = {beside()}", database="holdfast")
    yield client
    postgres_server().sql(f"UPDATE holdfast.schema_version SET min_compatible = {NEWEST}", database="holdfast")
    await client.close()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (MakeJobBatch([]), "batch"),
        (MakeJobBatch([], closing=[ClosingJob(Closing.FINISH, new())]), "batch"),
        (Enqueue([new(batch=1)]), "batch"),
        (Enqueue([new(expires_at=1 << 50)]), "expires_at"),
        (SetBudget("b", 1), "budgets"),
        (SetQueue("q", QueueSettings(budgets=BUDGETS), whole=True), "budgets"),
        (SetQueue("q", QueueSettings(expires_in_ms=1), whole=True), "expires_in_ms"),
        (SetSchedule("s", ScheduleSpec(new(expires_in_ms=1), interval_ms=1_000), False), "expires_in_ms"),
        (SetSchedule("s", ScheduleSpec(new(expires_at=1 << 50), interval_ms=1_000), False), "expires_at"),
        (SetSchedule("s", ScheduleSpec(new(budgets=BUDGETS), interval_ms=1_000), False), "budgets"),
    ],
)
async def test_what_such_a_node_could_not_read_is_refused(client, command, field):
    with pytest.raises(UpgradeUnfinished) as refused:
        await client.do(command)
    assert refused.value.fields["field"] == field
    assert len(await client.walk()) == 1
    assert (await client.ask(ListSchedules(10))).schedules == []


async def test_a_follow_up_for_a_batch_is_refused_too_and_the_lease_goes_on(client):
    job = await client.take()
    with pytest.raises(UpgradeUnfinished):
        await client.do(ConcludeLease(job.ref(), b"1", [new(batch=1)]))
    assert (await client.job(job.id)).lease is not None
