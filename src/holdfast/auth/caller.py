"""Who calls: one object for each key in a front process, which lives as long as the key does.

A door says who calls when a request comes in (`CALLER`), and the engine asks who it was when it is to do something. The context of a request goes with
everything that it starts: tasks, and callbacks of what it waits for. Only what is woken by somebody else (a parked wait) keeps its caller itself.
"""

from collections.abc import Callable
from contextvars import ContextVar

from holdfast.auth.keys import Ability, Key
from holdfast.auth.scope import Scope, sees
from holdfast.errors import Forbidden, HoldfastError, RateLimited, Unauthorized
from holdfast.limits import KEY_PARKED, KEY_REQUESTS_PER_S

EVERYTHING = frozenset(Ability)


class Caller:
    """A key as it is in force now. When it ends, all that its holder has open is told."""

    __slots__ = ("_open", "abilities", "calls", "ended", "key", "most_calls", "most_open", "scope")

    def __init__(self, key: Key) -> None:
        self.calls = 0  # since the keyring last looked, which is every second
        self.ended = ""  # why it is not in force any more
        self._open: dict[object, Callable[[HoldfastError], None]] = {}
        self.become(key)

    def become(self, key: Key) -> None:
        """Be what was changed of the key from now on."""
        self.key = key
        self.abilities = EVERYTHING if Ability.ADMIN in key.abilities else frozenset(key.abilities)
        self.scope: Scope | None = Scope.of(key.queues)
        self.most_calls = key.requests_per_s or KEY_REQUESTS_PER_S
        self.most_open = key.parked or KEY_PARKED

    def count(self) -> None:
        """One more request; raises `RateLimited` past the bound of a second, and `Unauthorized` where the key has ended."""
        if self.ended:
            raise unauthorized(self.ended)
        self.calls += 1
        if self.calls > self.most_calls:
            raise RateLimited(f"This key may make {self.most_calls} requests a second.", retry_after_ms=1_000)

    def need(self, ability: Ability) -> None:
        """Raise `Forbidden` unless the key may do this, and `Unauthorized` where it has ended."""
        if self.ended:
            raise unauthorized(self.ended)
        if ability not in self.abilities:
            raise Forbidden(f"The key {self.key.name} lacks the ability {ability.value}.", ability=ability.value)

    def sees(self, queue: str) -> bool:
        """Whether the key may see this queue."""
        return sees(self.scope, queue)

    def hold(self, what: object, end: Callable[[HoldfastError], None]) -> None:
        """Something of the caller's stays open (a long poll, a stream, a channel): `end` is called when the key ends. Raises `RateLimited` past the bound."""
        if self.ended:
            raise unauthorized(self.ended)
        if len(self._open) >= self.most_open:
            raise RateLimited(
                f"This key has {self.most_open} long polls, streams and connections open already.", retry_after_ms=5_000
            )
        self._open[what] = end

    def let_go(self, what: object) -> None:
        """It is closed."""
        self._open.pop(what, None)

    def end(self, why: str) -> None:
        """The key is not in force any more."""
        self.ended = why
        ends, self._open = list(self._open.values()), {}
        for end in ends:
            end(unauthorized(why))

    def __repr__(self) -> str:
        return f"Caller({self.key!r})"


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Who calls in this context, where keys are in force. None is nobody: a door that forgets to say is refused."""


def unauthorized(why: str) -> Unauthorized:
    """The refusal for a caller that is not known."""
    return Unauthorized(f"{why} Send an access key: Authorization: Bearer hf_….")
