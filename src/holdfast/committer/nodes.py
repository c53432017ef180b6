"""Hints between the nodes that share a store: what was committed on one wakes those who wait on the others.

Hints carry no guarantee. They are sent right after the commit, a few in a burst and then 50 a second per node, and may be lost;
a slow poll of the store (`LocalBackend._look_around`) covers every waiting caller, whatever its door, because all of them wait
in the engine's `Waiters`. Hints are small: how many jobs of a queue can be leased, which queues have room, that interests have
changed, which leases are to stop or have expired, and, while another node has a subscriber, job events.
"""

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec

from holdfast.logs import structlog
from holdfast.messages.events import Committed, JobEvent
from holdfast.routing import interests as routing
from holdfast.stores.store import Store

log = structlog.get_logger(__name__)
_RATE = 50  # hints a second in the long run: each costs a commit on the database, and a turn of every node
_BURST = 10  # that may be sent in a burst after a quiet period, so that a job that comes with a few others is announced at once
_APART_S = 0.002  # between two, even below the rate: commits in between share a hint
_BYTES = 7_500  # of one hint: PostgreSQL takes less than 8,000
_EVENTS = 2_000  # job events per hint; further ones are dropped
_WANTED_S = 5.0  # a node that wants job events announces it every second


class Hint(msgspec.Struct, array_like=True, omit_defaults=True):
    """What one node sends the others; new fields are only appended. `interests`: their new version."""

    node: str
    ready: dict[str, int] = {}
    freed: list[str] = []
    interests: int | None = None
    jobs: list[JobEvent] = []
    wants: bool | None = None
    stop: list[int] = []
    lost: list[int] = []

    def __bool__(self) -> bool:
        """Whether it reports anything of a commit."""
        return bool(self.ready or self.freed or self.jobs or self.stop or self.lost) or self.interests is not None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Hint)


class Pace:
    """When the next hint may leave: at once after a quiet spell, and in the long run `rate` a second."""

    def __init__(self, rate: float = _RATE, burst: int = _BURST, apart_s: float = _APART_S) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._apart_s = apart_s
        self._left = float(burst)
        self._at = float("-inf")

    def left(self, now: float) -> float:
        """One leaves now; in how many seconds the next may."""
        if self._at > float("-inf"):
            self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        self._left -= 1
        return max(self._apart_s, (1 - self._left) / self._rate)


class Nodes:
    """This node's ear and voice among the others."""

    def __init__(self, store: Store, deliver: Callable[[Committed], None], events_wanted: Callable[[bool], None]) -> None:
        self.name = secrets.token_hex(4)
        self._store = store
        self._deliver = deliver
        self._events_wanted = events_wanted
        self._gathered = Hint(self.name)
        self._some = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._wanted_until = 0.0
        self._wanting = False
        self._asking = False
        self._stopping = False
        self._pace = Pace()
        store.listen(self._heard)

    def start(self) -> None:
        """Start sending."""
        self._sending = asyncio.create_task(self._send(), name="hints")

    async def stop(self) -> None:
        """Send what is queued, and stop."""
        if self._sending is not None:
            self._stopping = True
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            await self._flush()

    def tell(self, news: Committed) -> None:
        """Collect what the other nodes should know of a commit."""
        gathered = self._gathered
        gathered.ready.update(news.ready)
        gathered.freed += news.freed
        gathered.stop += news.stop
        gathered.lost += news.lost
        if news.interests is not None:
            gathered.interests = news.interests.after
        if self._wanting:
            gathered.jobs += news.jobs[: max(0, _EVENTS - len(gathered.jobs))]
        if gathered:
            self._some.set()

    def ask_for_events(self) -> None:
        """Say at once that job events are of interest here."""
        self._asking = True
        self._some.set()

    def look_who_wants(self, wanted: bool) -> None:
        """Repeat the announcement while it applies, and drop nodes that have stopped announcing. Every second."""
        if wanted:
            self.ask_for_events()
        self._look_who_wants()

    def _look_who_wants(self) -> None:
        wanting = time.monotonic() < self._wanted_until
        if wanting is not self._wanting:
            self._wanting = wanting
            self._events_wanted(wanting)

    async def _send(self) -> None:
        while not self._stopping:
            await self._some.wait()
            apart_s = self._pace.left(time.monotonic())
            await self._flush()
            await asyncio.sleep(apart_s)

    async def _flush(self) -> None:
        self._some.clear()
        if self._asking:
            self._asking = False
            await self._store.notify(_encoder.encode(Hint(self.name, wants=True)).decode())
        hint, self._gathered = self._gathered, Hint(self.name)
        hint.freed = list(dict.fromkeys(hint.freed))
        for text in _texts(hint):
            await self._store.notify(text)

    def _heard(self, text: str) -> None:
        try:
            hint = _decoder.decode(text)
        except msgspec.DecodeError:
            log.warning("a notification can't be read; a node of another version?", size=len(text))
            return
        if hint.node == self.name:
            return
        if hint.wants is not None:
            self._wanted_until = time.monotonic() + _WANTED_S
            self._look_who_wants()
            return
        changed = routing.Change(-1, hint.interests, {}) if hint.interests is not None else None
        self._deliver(Committed(hint.ready, hint.freed, hint.jobs, changed, hint.stop, hint.lost))


def _texts(hint: Hint) -> list[str]:
    """The hint as texts of bounded length."""
    encoded = _encoder.encode(hint)
    if len(encoded) <= _BYTES:
        return [encoded.decode()] if hint else []
    halves = [Hint(hint.node), Hint(hint.node, interests=hint.interests)]
    ready = list(hint.ready.items())
    for n, half in enumerate(halves):
        half.ready = dict(ready[n::2])
        half.freed, half.stop, half.lost = hint.freed[n::2], hint.stop[n::2], hint.lost[n::2]
        half.jobs = hint.jobs[: len(hint.jobs) // 2] if n == 0 else hint.jobs[len(hint.jobs) // 2 :]
    return [text for half in halves for text in _texts(half)]
