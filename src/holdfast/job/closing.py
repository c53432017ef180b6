"""The jobs that close a batch: which ones there are, and what such a job says of its batch."""

import enum

import msgspec


class Closing(enum.StrEnum):
    """When a batch's closing job is due."""

    SUCCESS = "on_success"  # every member is concluded, after retries of dead ones too
    FINISH = "on_finish"  # the batch is closed, and no member is unfinished
    FAILURE = "on_failure"  # the first member is dead


class Closes(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The batch that a job closes, with its counts as they were when the job was put."""

    batch: int
    on: Closing
    name: str = ""
    pending: int = 0
    concluded: int = 0
    dead: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All members."""
        return self.pending + self.concluded + self.dead + self.cancelled
