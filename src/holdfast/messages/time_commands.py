"""Commands that nobody asks for: what happens because time passes. The ticker hands them in like any other.

They are part of `commands.Command`, and stand apart only so that neither file grows too long. Times are in milliseconds.
"""

import msgspec


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    pass


class ExpireLeases(_Frame, frozen=True, tag=20):
    """Take back the jobs whose lease has ended."""

    limit: int


class PromoteDue(_Frame, frozen=True, tag=21):
    """Make the scheduled jobs ready whose time has come."""

    limit: int


class FireSchedules(_Frame, frozen=True, tag=25):
    """Put the jobs of the schedules whose time has come. `only`: of this one; `aside`: do not fire it, set it aside for this reason."""

    limit: int
    only: str | None = None
    aside: str | None = None


class BuryOrphans(_Frame, frozen=True, tag=24):
    """Make dead what only a worker could take who is gone."""

    limit: int


class ReapWorkers(_Frame, frozen=True, tag=23):
    """Forget the workers that hold nothing and have been silent for longer than this."""

    silence_ms: int


class ForgetHistory(_Frame, frozen=True, tag=22):
    """Remove concluded and cancelled jobs past their queue's retention, from the next some queues after `after`, and old idempotency keys."""

    limit: int
    after: str = ""
