"""Jobs that expiry or promotion fails for: set aside one by one, with the reason, so that they do not block others. Held in
memory.

A job that can't be expired or made ready is a defect, or a row that another program has written. It is retried with growing
pauses; a line is logged when it begins or its reason changes, not for each retry.
"""

from dataclasses import dataclass
from itertools import islice

from holdfast.limits import ASIDE_JOBS, ASIDE_MAX_MS, ASIDE_MS
from holdfast.logs import structlog

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Case:
    reason: str
    until: int
    tries: int = 1


class SetAside:
    """The jobs that are set aside, with the time of the next retry."""

    def __init__(self) -> None:
        self._cases: dict[int, _Case] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def waits(self, job_id: int, now: int) -> bool:
        """Whether this job is to be left alone for now."""
        case = self._cases.get(job_id)
        return case is not None and now < case.until

    def put(self, job_id: int, queue: str, error: Exception, now: int) -> None:
        """Set a job aside."""
        reason = f"{type(error).__name__}: {error}"
        case = self._cases.get(job_id)
        if case is None or case.reason != reason:
            log.error(
                "a lease or delay of a job can't be processed; the job is set aside", job=job_id, queue=queue, reason=reason
            )
        tries = 1 if case is None else case.tries + 1
        if case is not None or len(self._cases) < ASIDE_JOBS:
            pause = min(ASIDE_MS << min(tries - 1, 30), ASIDE_MAX_MS)
            self._cases[job_id] = _Case(reason, now + pause, tries)

    def sentences(self, most: int) -> list[str]:
        """The jobs that are set aside and why, up to a number."""
        return [f"job {job_id}: {case.reason}" for job_id, case in islice(self._cases.items(), most)]

    def done(self, job_id: int) -> None:
        """It went well after all."""
        self._cases.pop(job_id, None)
