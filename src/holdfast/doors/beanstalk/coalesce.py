"""Coalescing: commands of one kind that arrived together become one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.doors.beanstalk.grammar import Asked
from holdfast.job.job import NewJob

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection

Action = Callable[["Connection", Asked], None]


class Coalesced:
    """Either jobs to enqueue, or a number of equal reserves."""

    __slots__ = ("jobs", "reserves", "timeout", "weight")

    def __init__(self) -> None:
        self.jobs: list[NewJob] = []
        self.weight = 0
        self.reserves = 0
        self.timeout: int | None = None

    @property
    def open(self) -> bool:
        """Whether anything was gathered."""
        return bool(self.jobs) or self.reserves > 0
