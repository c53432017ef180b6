"""Who calls: one object for each key in a front process, as long as the key exists.

A door sets the caller when a request arrives (`CALLER`), and the engine reads it for each verb. The context of a request is
copied to the tasks and callbacks that it starts. Only a parked wait, which other code wakes, holds its caller itself.
"""

from collections.abc import Callable
from contextvars import ContextVar

from holdfast.auth.keys import Ability, Key
from holdfast.auth.scope import Scope, sees
from holdfast.errors import Forbidden, HoldfastError, RateLimited, Unauthorized
from holdfast.limits import KEY_PARKED, KEY_REQUESTS_PER_S

EVERYTHING = frozenset(Ability)
HOW_TO_SEND = " Send an access key: Authorization: Bearer hf_…."
"""For programs; the form of the page leaves it out."""


class Caller:
    """A key that is in force. When it ends, whatever its holder has open is closed."""

    __slots__ = ("_open", "abilities", "calls", "ended", "key", "most_calls", "most_open", "scope")

    def __init__(self, key: Key) -> None:
        self.calls = 0  # in this second; the keyring sets it to 0
        self.ended = ""  # why the key is no longer in force
        self._open: dict[object, Callable[[HoldfastError], None]] = {}
        self.become(key)

    def become(self, key: Key) -> None:
        """Use the key as it was changed, from now on."""
        self.key = key
        self.abilities = EVERYTHING if Ability.ADMIN in key.abilities else frozenset(key.abilities)
        self.scope: Scope | None = Scope.of(key.queues)
        self.most_calls = key.requests_per_s or KEY_REQUESTS_PER_S
        self.most_open = key.parked or KEY_PARKED

    def count(self) -> None:
        """Count a request; raises `RateLimited` past the bound per second, and `Unauthorized` if the key has ended."""
        if self.ended:
            raise unauthorized(self.ended)
        self.calls += 1
        if self.calls > self.most_calls:
            raise RateLimited(f"This key may make {self.most_calls} requests a second.", retry_after_ms=1_000)

    def need(self, ability: Ability) -> None:
        """Raise `Forbidden` unless the key may do this, and `Unauthorized` if it has ended."""
        if self.ended:
            raise unauthorized(self.ended)
        if ability not in self.abilities:
            raise Forbidden(f"The key {self.key.name} lacks the ability {ability.value}.", ability=ability.value)

    def sees(self, queue: str) -> bool:
        """Whether the key may see this queue."""
        return sees(self.scope, queue)

    def opened(self, what: object, end: Callable[[HoldfastError], None]) -> None:
        """Count a long poll, stream or channel that is open until `closed`; `end` is called if the key ends first. Raises
        `RateLimited` past the bound.
        """
        if self.ended:
            raise unauthorized(self.ended)
        if len(self._open) >= self.most_open:
            raise RateLimited(
                f"This key has {self.most_open} long polls, streams and connections open already.", retry_after_ms=5_000
            )
        self._open[what] = end

    def closed(self, what: object) -> None:
        """It is not open any more."""
        self._open.pop(what, None)

    def end(self, why: str) -> None:
        """The key is no longer in force: close what is open."""
        self.ended = why
        ends, self._open = list(self._open.values()), {}
        for end in ends:
            end(unauthorized(why))

    def __repr__(self) -> str:
        return f"Caller({self.key!r})"


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Who calls in this context, if keys are in force. None: no caller was set, so a door that forgets to set it is refused."""


def unauthorized(why: str) -> Unauthorized:
    """The refusal for an unknown caller."""
    return Unauthorized(f"{why}{HOW_TO_SEND}")
