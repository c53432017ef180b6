"""A worker beside servers of the release before, as they are met while an upgrade goes on."""

from msgspec import UNSET

from holdfast.client.aio.client import AsyncClient
from holdfast.client.sync.caller import Caller
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


def test_a_server_that_does_not_ask_for_host_and_version_is_not_told_them(witness, queue, monkeypatch):
    newer, asked = Caller._post, []

    def older(self, kind, where, body=None, *rest, **more):
        if where == "/v1/workers":
            asked.append(set(body))
            if "host" in body:
                raise InvalidRequest("Object contains unknown field `host`.", field="host")
        return newer(self, kind, where, body, *rest, **more)

    monkeypatch.setattr(Caller, "_post", older)
    worker = witness.register_worker([queue], "me")
    assert (worker.name, worker.host, worker.pid) == ("me", "", None)
    assert asked == [{"queues", "name", "host", "pid", "version"}, {"queues", "name"}]
