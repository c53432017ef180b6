"""Old idempotency keys are looked at in bounded chunks, and keys whose jobs live never hide the ones behind them."""

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.limits import IDEMPOTENCY_MS
from holdfast.messages.commands import DeleteJob, Enqueue
from holdfast.messages.time_commands import ForgetHistory
from holdfast.stores.sqlite.store import SqliteStore


async def test_a_key_whose_job_is_gone_is_forgotten_though_many_older_ones_must_stay():
    clock = ManualClock()
    store = SqliteStore(None, QueuePolicy())
    backend = LocalBackend(store, clock)
    backend.start()
    for number in range(6):
        put = await backend.submit(Enqueue([NewJob("q", b"1")], IdempotencyKey("q", f"k{number}", b"")))
        clock.advance(1)
    await backend.submit(DeleteJob(put.jobs[0].id))
    clock.advance(IDEMPOTENCY_MS)
    dropped = [(await backend.submit(ForgetHistory(2))).count for _ in range(4)]
    kept = [key for (key,) in store._writer.execute("SELECT key FROM kept_answer ORDER BY key")]
    await backend.stop()
    assert sum(dropped) <= 1  # the store's own tick may have been first
    assert kept == [f"k{number}" for number in range(5)]
