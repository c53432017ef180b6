"""Which types a worker asks for: those that it has handlers for, so that during a deploy a worker of the version before does not get, and has to
release, jobs of a type that only the new one knows.
"""

from collections.abc import Callable, Iterable

from holdfast.client.worker.connectivity import log
from holdfast.errors import HoldfastError
from holdfast.limits import TYPES


class KnownTypes:
    """`handled` gives the types with a handler; None among them stands for all others."""

    def __init__(self, handled: Callable[[], Iterable[str | None]]) -> None:
        self._handled = handled
        self._told = True  # whether the server is told

    def names(self) -> list[str] | None:
        """The types to ask for; None: all, also where they are too many to be named or the server does not know the field."""
        if not self._told:
            return None
        handled = list(self._handled())
        names = sorted(name for name in handled if name is not None)
        return names if names and len(names) == len(handled) <= TYPES else None

    def is_refused(self, error: HoldfastError) -> bool:
        """Whether a server refused the field. From then on it is left out."""
        refused = self._told and is_about_types(error)
        if refused:
            self._told = False
            log.warning("the server knows no leases by type (%s): jobs without a handler here are released", error.detail)
        return refused


def is_about_types(error: HoldfastError) -> bool:
    """Whether a server refused the field `types`: it is older than this client, or not all of it is upgraded."""
    return error.code in ("invalid_request", "upgrade_unfinished") and error.fields.get("field") == "types"
