"""What `holdfast verify` was answered, written down, and what of it does not hold.

Every job carries a number, which is its payload and its result. The ledger knows nothing of the server but these answers.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from holdfast.client.types import Queue
from holdfast.units import counted

LEVELS = ("memory", "disk", "replicated")
_SHOWN = 10


@dataclass
class Ledger:
    """Answers, by the number of the job."""

    durability: set[str] = field(default_factory=set)
    promised: dict[int, int] = field(default_factory=dict)
    """The ids of jobs whose enqueue was answered."""
    unknown: set[int] = field(default_factory=set)
    """Numbers whose enqueue was never answered, for all that was tried."""
    concluded: Counter[int] = field(default_factory=Counter)
    """How often a conclude was answered as done, with different leases."""
    missing: set[int] = field(default_factory=set)
    """Promised, and not concluded yet."""
    ids: dict[int, set[int]] = field(default_factory=dict)
    """Under which ids a number was seen."""
    stale_refused: int = 0
    repeated: int = 0
    longest_s: float = 0.0
    """How long the longest call took to be answered, all tries included: through a restart, or a failover."""
    broken: list[str] = field(default_factory=list)
    """Promises that were broken while it ran."""
    forgotten: list[str] = field(default_factory=list)
    """The same, of what a server forgets that loses its memory."""
    restarted: bool = False
    """Whether the server began anew meanwhile."""
    _held: dict[int, float] = field(default_factory=dict)
    """Until when nobody else may get a job, by the clock of this machine."""

    def promise(self, number: int, job_id: int, level: str) -> None:
        """An enqueue was answered, perhaps for the second time."""
        if level != "none" or not self.concluded[number]:  # none: it was concluded and removed meanwhile
            self.durability.add(level)
        if number not in self.promised and not self.concluded[number]:
            self.missing.add(number)
        if self.promised.setdefault(number, job_id) != job_id:
            self.forgotten.append(f"enqueued twice under one key: jobs {self.promised[number]} and {job_id}")

    def see(self, number: int, job_id: int, now: float, until: float) -> None:
        """A worker got it. `until`: nobody else may get it before, unless it is given back."""
        self.ids.setdefault(number, set()).add(job_id)
        if self.concluded[number]:
            self.forgotten.append(f"given out again: job {job_id} was concluded")
        elif now < self._held.get(number, now):
            self.forgotten.append(f"given out twice: job {job_id} was leased to another worker, whose lease had not ended")
        self._held[number] = until

    def conclude(self, number: int) -> None:
        """A conclude was answered as done."""
        self.concluded[number] += 1
        self.missing.discard(number)
        self._held.pop(number, None)

    def judged(self, lost: list[int], kept: set[int], queue: Queue | None, expected: str | None) -> dict[str, Any]:
        """All that is to be told. `lost`: promised jobs that are not there any more; `kept`: the concluded ones that are."""
        gone = [f"job {self.promised[number]} was answered as stored, and is not there" for number in lost]
        for number, ids in self.ids.items():
            if self.concluded[number] and not ids & kept:
                gone.append(f"job {min(ids)} was answered as concluded, and is not")
        if queue is None or queue.jobs.concluded != len(kept):
            gone.append(
                f"the queue counts {queue.jobs.concluded if queue else 0:,} concluded jobs, and {len(kept):,} are there"
            )
        twice = [f"concluded twice: the job with number {number}" for number, times in self.concluded.items() if times > 1]
        twice += [f"enqueued twice: jobs {sorted(ids)} are one" for ids in self.ids.values() if len(ids) > 1]
        twice += [
            f"another's payload: job {self.promised[number]} was enqueued with number {number}, which job {min(ids)} has"
            for number, ids in self.ids.items()
            if len(ids) == 1 and self.promised.get(number, min(ids)) not in ids
        ]
        enough = LEVELS[LEVELS.index(expected) :] if expected else self.durability
        weak = sorted(level for level in self.durability if level not in enough)
        began_anew = (
            self.restarted and self.durability == {"memory"} and gone
        )  # it promises nothing beyond the life of the process
        broken = self.broken + ([] if began_anew else [*self.forgotten, *twice, *(f"lost: {each}" for each in gone)])
        return {
            "sound": not broken and not weak,
            "durability": sorted(self.durability),
            "enqueued": len(self.promised),
            "concluded": len(self.concluded),
            "unfinished": len(self.missing) - len(lost),
            "unknown": len(self.unknown),
            "lost": len(gone),
            "repeated": self.repeated,
            "stale_refused": self.stale_refused,
            "longest_call_s": round(self.longest_s, 3),
            "broken": broken,
            "weak": [f"answers said {level}, and not {expected}" for level in weak],
        }


def in_words(told: dict[str, Any]) -> str:
    """The end of it, for people."""
    broken: list[str] = told["broken"]
    lines = [
        f"{counted(told['enqueued'], 'job')} enqueued ({', '.join(told['durability']) or 'no answer'}), {told['concluded']:,} concluded",
        f"{counted(told['repeated'], 'call')} repeated on purpose, {counted(told['stale_refused'], 'stale lease')} refused",
        f"The longest call took {told['longest_call_s']:.1f}s, all tries included.",
    ]
    if told["unknown"]:
        lines.append(f"{counted(told['unknown'], 'job')} of unknown outcome: never answered, and so not promised")
    if told["unfinished"]:
        lines.append(f"{counted(told['unfinished'], 'job')} still there when the time was up, neither lost nor concluded")
    if told["lost"] and told["durability"] == ["memory"] and not broken:
        lines.append("Jobs were lost with the memory of the server, which promises no more.")
    lines += [f"WEAK    {each}" for each in told["weak"]] + [f"BROKEN  {each}" for each in broken[:_SHOWN]]
    if len(broken) > _SHOWN:
        lines.append(f"… and {len(broken) - _SHOWN:,} more")
    if not broken and not told["lost"]:
        lines.append("Nothing was lost, nothing was done twice, and no stale lease was let in.")
    return "\n".join(lines)
