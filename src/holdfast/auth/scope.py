"""Which queues a key sees: exact names, prefixes (`emails.*`), or all (`*`, for which the scope is None).

A scope is sent with a request to the store's side, where a job's queue is known (`messages/frame.py`): queues and jobs outside
it are hidden, as if they did not exist.
"""

from collections.abc import Iterable

import msgspec

ALL = "*"


class Scope(msgspec.Struct, frozen=True, array_like=True):
    """Queues by name and by prefix."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Scope | None":
        """The scope of some patterns; None if one of them matches all queues."""
        patterns = tuple(patterns)
        if ALL in patterns:
            return None
        prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(ALL))
        return cls(tuple(pattern for pattern in patterns if not pattern.endswith(ALL)), prefixes)

    def sees(self, queue: str) -> bool:
        """Whether this queue is in it."""
        return queue in self.names or queue.startswith(self.prefixes)


def sees(scope: Scope | None, queue: str) -> bool:
    """Whether this queue is in the scope; None includes all."""
    return scope is None or queue in scope.names or queue.startswith(scope.prefixes)
