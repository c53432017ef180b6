"""Results of actors, kept with their jobs: `HoldfastBroker(results=True)`."""

import time
from contextlib import suppress
from typing import Any

from dramatiq import Message
from dramatiq.results import ResultBackend, ResultFailure, ResultMissing, ResultTimeout
from dramatiq.results.backend import DEFAULT_TIMEOUT

from holdfast.client import Client, Job
from holdfast.client.kept_results import given, kept, key_of, unkept, why
from holdfast.errors import JobNotFound

_LOOK_S = 0.1


class Results(ResultBackend):
    """A result is concluded with its job, in one transaction, and an exception is that of the dead job. Both are there as long as the job is: a
    `result_ttl` does not shorten it.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def store_result(self, message: Any, result: Any, ttl: int) -> None:  # noqa: ARG002
        """Kept with the acknowledgement that follows."""
        try:
            message.result = kept(self.encoder.encode(result))
        except Exception as error:
            message.unkept = unkept(error)
            raise

    def store_exception(self, message: Any, exception: BaseException, ttl: int) -> None:
        """Nothing: the job has it, which is dead by now."""

    def get_result(self, message: "Message[Any]", *, block: bool = False, timeout: int | None = None) -> Any:
        """The result, waited for up to `timeout` milliseconds (10,000) with `block`. Raises `ResultMissing`, `ResultTimeout`, `ResultFailure`."""
        until = time.monotonic() + (DEFAULT_TIMEOUT if timeout is None else timeout) / 1_000
        tries = 0
        while True:
            job = self._job(message.message_id, tries)
            if job is not None and block and not job.has_ended:
                job = self._ended(job, max(0.0, until - time.monotonic()))
            if job is not None and job.has_ended:
                if job.state != "concluded":
                    raise _failure(job)
                if (data := given(job.result_json)) is not None:
                    return self.encoder.decode(data)
                tries += 1  # it has failed, and was sent again
                continue
            if not block:
                raise ResultMissing(message)
            if time.monotonic() + _LOOK_S > until:
                raise ResultTimeout(message)
            time.sleep(_LOOK_S)

    def _ended(self, job: Job, timeout_s: float) -> Job | None:
        try:
            return self._client.wait(job.id, timeout_s)
        except TimeoutError:
            return job
        except JobNotFound:  # such as by a purge
            return None

    def _job(self, message_id: str, tries: int) -> Job | None:
        key = key_of(message_id, tries)
        receipts = self._client.receipts(key) if key is not None else []
        with suppress(JobNotFound):
            return self._client.job(receipts[0].id) if receipts else None
        return None


def _failure(job: Job) -> ResultFailure:
    """What Dramatiq says of an actor that failed."""
    raised = job.errors[-1].error if job.errors else None
    kind = raised.kind.rpartition(".")[2] if raised is not None else job.state.capitalize()
    words = raised.message if raised is not None else why(job)
    return ResultFailure(f"actor raised {kind}: {words}", kind, words)
