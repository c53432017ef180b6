"""What a fair queue should do, in plain Python: within one priority the oldest job of some fair key is next. Whose turn it is, the engine says, and
`tests/contract/stores/conformance/test_fair.py` judges; here it goes together with all else.
"""

from collections import deque

FAIR_KEYS = (None, None, "a", "b")


class Fair:
    """The turns of a model: `leased` are the jobs that the engine has given out, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.leased: deque[int] = deque()

    def first(self, line):
        """The next of these jobs of one queue."""
        first = min(line, key=lambda row: (row.priority, row.id))
        if not self.policies[first.queue].fair or first.worker is not None:
            return first
        oldest = {}
        for row in sorted(line, key=lambda row: row.id):
            if row.priority == first.priority and row.worker is None:
                oldest.setdefault(row.fair, row)
        while self.leased and self.jobs[self.leased[0]].state == "leased":
            self.leased.popleft()
        return next((row for row in oldest.values() if self.leased and row.id == self.leased[0]), first)
