"""A worker beside servers of the release before, as they are met while an upgrade goes on."""

from msgspec import UNSET

from holdfast.client.aio.client import AsyncClient
from holdfast.client.types import Fail
from holdfast.errors import InvalidRequest
from tests.contract.client.worker.workers import running


def test_what_was_raised_is_the_reason_where_a_server_does_not_take_it_as_such(worker, put, witness, monkeypatch):
    newer, refused = AsyncClient.batch, []

    async def older(self, entries):
        named = [entry for entry in entries if isinstance(entry, Fail) and entry.error is not UNSET]
        if named:
            refused.extend(named)
            raise InvalidRequest("Object contains unknown field `error` at fail[0].", field="fail[0].error")
        return await newer(self, entries)

    monkeypatch.setattr(AsyncClient, "batch", older)
    work = worker(live=False)

    @work.handler()
    def broken(job):
        if job.payload == "done":
            return
        raise ValueError("out of paper")

    with running(work):
        job = witness.wait(put(max_attempts=1), 20)
        done = witness.wait(put(payload="done"), 20)
    assert (job.state, job.reason, done.state, len(refused)) == ("dead", "attempts_exhausted", "concluded", 1)
    (error,) = job.errors
    assert error.error is None
    assert error.reason.startswith("Traceback")
    assert error.reason.endswith("ValueError: out of paper")
