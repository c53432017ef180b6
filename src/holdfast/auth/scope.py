"""Which queues a key lets see: exact names, prefixes (`emails.*`), or all (`*`, which is no scope at all).

A scope travels with a request to where the queue is known (`messages/frame.py`): what lies outside it does not exist there.
"""

from collections.abc import Iterable

import msgspec

ALL = "*"


class Scope(msgspec.Struct, frozen=True, array_like=True):
    """Queues by their names and by how their names begin."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Scope | None":
        """The scope of some patterns; None where one of them is all queues."""
        patterns = tuple(patterns)
        if ALL in patterns:
            return None
        prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(ALL))
        return cls(tuple(pattern for pattern in patterns if not pattern.endswith(ALL)), prefixes)

    def sees(self, queue: str) -> bool:
        """Whether this queue lies within it."""
        return queue in self.names or queue.startswith(self.prefixes)


def sees(scope: Scope | None, queue: str) -> bool:
    """Whether a scope, or none, lets see this queue."""
    return scope is None or queue in scope.names or queue.startswith(scope.prefixes)
