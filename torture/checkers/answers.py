"""C0: three outcomes only. Done, certainly not done with a code that says why, or `outcome_unknown`; never anything else."""

from __future__ import annotations

from torture.checkers.violation import Violation
from torture.history import Call, History

# The possible answers to a correct client of this harness, by the code's status. `never_sent` and `broken` are the client's own
# codes.
REFUSALS = {
    404: {"job_not_found", "queue_not_found"},
    409: {"lease_lost", "not_unique", "wrong_state", "batch_closed"},
    422: {"idempotency_mismatch"},
    429: {"queue_full"},
    503: {"outcome_unknown", "draining", "store_unavailable", "overloaded", "not_replicated"},
    507: {"storage_full"},
}


def every_answer_is_in_the_contract(history: History) -> list[Violation]:
    """No 500, no unknown code, no refusal that is impossible for this call."""
    return [
        Violation.of("C0", "strange answer", f"{call.verb} was answered {call.status} {call.code}: {call.answer}", call)
        for call in history.calls
        if call.status is not None and not _known(call)
    ]


def _known(call: Call) -> bool:
    if call.done:
        return True
    return call.code in REFUSALS.get(call.status or 0, ())
