"""Until the upgrade is finished, nothing is stored of batches that a node of the release before could not read."""

import pytest

from holdfast.errors import UpgradeUnfinished
from holdfast.job.job import Extras, NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import Enqueue
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.stores.postgres.migrate import NEWEST
from tests.contract.stores.conformance.conftest import Postgres, StoreClient, postgres_server


async def test_a_batch_is_refused_while_nodes_of_the_release_before_may_serve(tmp_path):
    client = StoreClient(Postgres(tmp_path).open(QueuePolicy()))
    made = await client.do(MakeJobBatch([NewJob("q", b"1")]))
    postgres_server().sql("UPDATE holdfast.schema_version SET min_compatible = 9", database="holdfast")
    try:
        for command in (MakeJobBatch([]), Enqueue([NewJob("q", b"1", extras=Extras(batch=made.id))])):
            with pytest.raises(UpgradeUnfinished) as refused:
                await client.do(command)
            assert refused.value.fields["field"] == "batch"
        assert len(await client.walk()) == 1
    finally:
        postgres_server().sql(f"UPDATE holdfast.schema_version SET min_compatible = {NEWEST}", database="holdfast")
        await client.close()
