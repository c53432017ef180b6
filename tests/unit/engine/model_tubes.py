"""The part of the model that beanstalkd's verbs add: jobs by their ids, many at once, and set aside by hand."""

from holdfast.messages import beanstalk_commands as t
from holdfast.messages import commands as c
from tests.unit.engine.model_routing import No


class Tubes:
    """A part of `Model`."""

    def BuryLease(self, command: t.BuryLease) -> object:  # noqa: N802  (each verb is called what its command is called)
        if (row := self.held_by(command.ref)) is None:
            raise No("lease_lost")
        if row.cancel:
            self.end(row, "cancelled", "cancelled")
        else:
            row.priority = command.priority
            self.end(row, "dead", "buried")
        return self.outcome(row)

    def KickJob(self, command: t.KickJob) -> int:  # noqa: N802
        self.kick(self.job(command.id, "dead", "scheduled"))
        return 1

    def KickJobs(self, command: t.KickJobs) -> int:  # noqa: N802
        self.settle()
        state = "dead" if command.buried else "scheduled"
        line = [row for row in self.jobs.values() if (row.queue, row.state) == (command.queue, state)]
        line.sort(key=lambda row: (row.ended_at if command.buried else row.ready_at, row.id))
        count = 0
        for row in line[: command.limit]:
            try:
                self.kick(row)
            except No as refusal:
                if str(refusal) == "queue_full":
                    break
            else:
                count += 1
        return count

    def kick(self, row) -> None:
        if row.state == "dead":
            self.take_back(row)
        self.wait(row, self.now)

    def PutJobs(self, command: t.PutJobs) -> tuple[list[int], str]:  # noqa: N802
        ids, refused = [], ""
        for new in command.jobs:
            try:
                ids += self._put_all(c.Enqueue([new]), [new])[0]
            except No as refusal:
                ids.append(0)
                refused = str(refusal)
        return ids, refused
