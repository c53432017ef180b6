"""The door's counters: for `stats`, for Prometheus, and to know which tubes exist.

A tube exists while a connection uses or watches it, or while it has a job. With several front processes each counts its own
connections; sums over all of them are from the numbers that each sends to the keeper once a second (`metrics.py`).
"""

import re
from collections import Counter

VERBS = (
    "put", "peek", "peek-ready", "peek-delayed", "peek-buried", "reserve", "reserve-with-timeout", "reserve-job", "delete", "release",
    "use", "watch", "ignore", "bury", "kick", "kick-job", "touch", "stats", "stats-job", "stats-tube", "list-tubes", "list-tube-used",
    "list-tubes-watched", "pause-tube", "quit", "auth",
)  # fmt: skip
ROLES = ("producer", "worker", "waiting")
_SAMPLE = re.compile(r"^holdfast_beanstalk_(\w+?)(?:_total)?\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(?:command|role)="([^"]*)"')


class Numbers:
    """The counts of one front process."""

    def __init__(self) -> None:
        self.commands: dict[str, int] = dict.fromkeys(VERBS, 0)
        self.roles: dict[str, int] = dict.fromkeys(ROLES, 0)
        self.connections = 0
        self.connected = 0
        self.turned_away = 0
        self.using: Counter[str] = Counter()
        self.watching: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self.pauses: Counter[str] = Counter()

    def tubes(self) -> set[str]:
        """The tubes that some connection uses or watches."""
        return set(self.using) | set(self.watching)

    def left(self, counts: "Counter[str]", tube: str) -> None:
        """One less uses or watches a tube."""
        counts[tube] -= 1
        if counts[tube] <= 0:
            del counts[tube]

    def with_others(self, reports: list[bytes]) -> "Numbers":
        """Commands, roles and connections of this front and of those whose metrics these are."""
        total = Numbers()
        total.commands, total.roles = dict(self.commands), dict(self.roles)
        total.connections, total.connected = self.connections, self.connected
        for report in reports:
            for name, labels, value in _SAMPLE.findall(report.decode()):
                self._add(total, name, _LABEL.search(labels), int(float(value)))
        return total

    @staticmethod
    def _add(total: "Numbers", name: str, label: re.Match[str] | None, value: int) -> None:
        if name == "connections":
            total.connections += value
        elif name == "connected":
            total.connected += value
        elif label is not None and name in ("commands", "clients"):
            counts = total.commands if name == "commands" else total.roles
            counts[label[1]] = counts.get(label[1], 0) + value
