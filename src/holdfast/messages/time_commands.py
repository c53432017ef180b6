"""Commands that nobody asks for: what happens because time passes. The ticker hands them in like any other."""

from typing import ClassVar

from holdfast.messages.answers import Counted, Forgotten
from holdfast.messages.frame import Command, Phase


class ExpireLeases(Command[Counted], frozen=True, tag=20):
    """Take back the jobs whose lease has ended."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class PromoteDue(Command[Counted], frozen=True, tag=21):
    """Make the scheduled jobs ready whose time has come."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class FireSchedules(Command[Counted], frozen=True, tag=25):
    """Put the jobs of the schedules whose time has come. `only`: of this one; `aside`: do not fire it, set it aside for this reason."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    only: str | None = None
    aside: str | None = None


class BuryOrphans(Command[Counted], frozen=True, tag=24):
    """Make dead what only a worker could take who is gone."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int


class ReapWorkers(Command[Counted], frozen=True, tag=23):
    """Forget the workers that hold nothing and have been silent for longer than this."""

    silence_ms: int


class ForgetHistory(Command[Forgotten], frozen=True, tag=22):
    """Remove concluded and cancelled jobs past their queue's retention, from the next some queues after `after`, and old idempotency keys."""

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    after: str = ""
