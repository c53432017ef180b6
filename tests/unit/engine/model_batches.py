"""What batches of jobs should do, in plain Python: counts come from the members that there are, but for those that were removed."""

from dataclasses import dataclass, field

from holdfast.job.closing import Closing
from holdfast.job.job import NewJob
from holdfast.job.job_batch import NEVER, OWED, WAITS
from holdfast.messages.job_batches import CancelJobBatch, CloseJobBatch, MakeJobBatch, PutClosingJobs
from tests.unit.engine.model_routing import No

UNFINISHED = ("scheduled", "ready", "leased")


@dataclass
class Together:
    """One batch. `marks`: what became of its closing jobs."""

    closed: bool
    closing: dict[Closing, NewJob]
    marks: dict[Closing, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=lambda: {"concluded": 0, "cancelled": 0})
    somebody_died: bool = False


class Batches:
    """The batches of a model, over its jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: dict[int, Together] = {}

    def counts(self, number: int) -> tuple[int, int, int, int]:
        """Pending, concluded, dead, cancelled."""
        states = [row.state for row in self.jobs.values() if row.batch == number]
        removed = self.batches[number].removed
        return (
            sum(state in UNFINISHED for state in states),
            states.count("concluded") + removed["concluded"],
            states.count("dead"),
            states.count("cancelled") + removed["cancelled"],
        )

    def remove_member(self, row) -> None:
        """A job is removed; what was not concluded will never be."""
        if row.batch is not None:
            self.batches[row.batch].removed["concluded" if row.state == "concluded" else "cancelled"] += 1

    def admit(self, jobs: list[NewJob]) -> None:
        for number in dict.fromkeys(new.extras.batch for new in jobs if new.extras.batch is not None):
            if number not in self.batches:
                raise No("batch_not_found")
            if self.batches[number].closed:
                raise No("batch_closed")

    def due(self, number: int, concludes: int = 0) -> list[Closing]:
        """The closing jobs that are due, also if so many of the pending ones were concluded."""
        batch = self.batches[number]
        pending, _, dead, cancelled = self.counts(number)
        over = batch.closed and pending == concludes
        there = {
            Closing.FAILURE: dead > 0 or batch.somebody_died,
            Closing.SUCCESS: over and not dead and not cancelled,
            Closing.FINISH: over,
        }
        return [on for on, is_due in there.items() if is_due and batch.marks.get(on) == WAITS]

    def need_room_for_last(self, row) -> bool:
        """Whether the conclude of this job ends its batch; it is refused if there is no room for what is then due."""
        if row.batch is None or not self.batches[row.batch].closed or self.counts(row.batch)[0] != 1:
            return False
        due = self.due(row.batch, 1)
        wanted = {row.queue: (-1, -row.size)}
        for on in due:
            new = self.batches[row.batch].closing[on]
            count, size = wanted.get(new.queue, (0, 0))
            wanted[new.queue] = (count + 1, size + len(new.payload))
        for queue, (count, size) in wanted.items() if due else ():
            self.need_room(queue, count, size)
        return bool(due)

    def settle_batches(self) -> None:
        for number in sorted(self.batches):
            batch = self.batches[number]
            for on in self.due(number):
                self.put_closing(number, on)
            pending, _, dead, cancelled = self.counts(number)
            if batch.closed and not pending:
                if batch.marks.get(Closing.SUCCESS) == WAITS and cancelled:
                    batch.marks[Closing.SUCCESS] = NEVER
                if batch.marks.get(Closing.FAILURE) == WAITS and not dead:
                    batch.marks[Closing.FAILURE] = NEVER

    def put_closing(self, number: int, on: Closing) -> bool:
        batch = self.batches[number]
        new = batch.closing[on]
        try:
            self.need_room(new.queue, 1, len(new.payload), len(new.payload))
        except No:
            batch.marks[on] = OWED
            return False
        batch.marks[on] = self._put(new)
        return True

    # Verbs

    def PutClosingJobs(self, _: PutClosingJobs) -> int:  # noqa: N802
        put = 0
        for number in sorted(self.batches):
            for on in Closing:
                if self.batches[number].marks.get(on) == OWED:
                    put += self.put_closing(number, on)
        return put

    def MakeJobBatch(self, command: MakeJobBatch) -> object:  # noqa: N802
        self.last_id += 1
        number = self.last_id
        closing = {one.on: one.job for one in command.closing}
        made = self.batches[number] = Together(command.closed, closing, dict.fromkeys(closing, WAITS))
        try:
            ids = self._put_all(command, command.jobs, batch=number)[0] if command.jobs else []
        except No:
            del self.batches[number]
            raise
        assert made.closing == closing
        return number, ids

    def CloseJobBatch(self, command: CloseJobBatch) -> object:  # noqa: N802
        if command.id not in self.batches:
            raise No("batch_not_found")
        self.close(command.id)
        return command.id, True

    def close(self, number: int) -> None:
        if not self.batches[number].closed:
            self.batches[number].closed = True
            self.settle_batches()

    def CancelJobBatch(self, command: CancelJobBatch) -> object:  # noqa: N802
        if command.id not in self.batches:
            raise No("batch_not_found")
        self.close(command.id)
        count = 0
        for row in [self.jobs[number] for number in command.jobs if number in self.jobs]:
            if row.batch != command.id or row.state not in UNFINISHED or (row.state == "leased" and row.cancel):
                continue
            count += 1
            if row.state == "leased":
                row.cancel = True
            else:
                self.end(row, "cancelled", "cancelled")
        return count
