"""Commands without a caller: changes because time passes. The ticker submits them like any other."""

from typing import ClassVar

from holdfast.messages.answers import Counted, Forgotten
from holdfast.messages.frame import Command, Phase


class ExpireLeases(Command[Counted], frozen=True, tag=20):
    """Make the jobs ready, or dead, whose lease has expired."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class PromoteDue(Command[Counted], frozen=True, tag=21):
    """Make the scheduled jobs ready that are due."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class EndOverdue(Command[Counted], frozen=True, tag=28):
    """End the waiting jobs whose deadline has passed."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class AdmitWaiting(Command[Counted], frozen=True, tag=190):
    """Let jobs go on whose budgets can pay again: of up to so many accounts."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class FireSchedules(Command[Counted], frozen=True, tag=25):
    """Enqueue the jobs of due schedules. `only`: of this one; `aside`: do not fire it, set it aside for this reason."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    only: str | None = None
    aside: str | None = None


class FillTypes(Command[Counted], frozen=True, tag=64):
    """Give the next ready jobs of a queue their types, in which calls have begun to ask by type."""

    phase: ClassVar[Phase] = Phase.TIME

    queue: str
    limit: int


class SortShares(Command[Counted], frozen=True, tag=251):
    """Sort the next ready jobs of a queue by their fair keys, or forget that they are."""

    phase: ClassVar[Phase] = Phase.TIME

    queue: str
    limit: int


class ForgetShares(Command[Counted], frozen=True, tag=252):
    """Forget fair keys that have nothing waiting, and have had no more than others; with `surplus` also where there are too many without jobs."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    surplus: bool = False


class BuryOrphans(Command[Counted], frozen=True, tag=24):
    """Make the jobs dead that only a removed worker could lease."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class ReapWorkers(Command[Counted], frozen=True, tag=23):
    """Remove workers without leases that have been silent for longer than this."""

    silence_ms: int


class ForgetHistory(Command[Forgotten], frozen=True, tag=22):
    """Remove concluded and cancelled jobs past their queue's retention, from the next some queues after `after`, and old idempotency keys."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    after: str = ""
