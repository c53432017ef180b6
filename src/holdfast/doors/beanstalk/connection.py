"""One connection: commands in, replies out in order, and each reply only after its commit.

Which commands may be in progress together follows from the order in which a batch decides (`committer/batch.py`): leases end,
then managing verbs, then new jobs, then leases are granted. So a command may be sent before the previous one is answered if it
comes no earlier in this order: puts with puts, a delete before a put before a reserve; the result is as if they had been sent
one by one. Everything else waits its turn. Puts that arrive together are one command, and so are equal reserves. Nothing passes
a reserve that may wait.

    bytes ─▶ Feed ─▶ verb ─▶ engine ─▶ commit ─▶ slot ─┐   replies leave from the first slot on:
                       └─────── said at once ─▶ slot ──┴─▶ a slot that is not filled holds up those behind it
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from holdfast.auth.actor import ACTOR, Actor
from holdfast.auth.caller import CALLER, Caller
from holdfast.auth.keys import Ability
from holdfast.busy import LOOP
from holdfast.connection_limit import Place
from holdfast.doors.beanstalk import verbs
from holdfast.doors.beanstalk.grammar import AUTH, Asked
from holdfast.doors.beanstalk.held import Held
from holdfast.doors.beanstalk.login import known_otherwise
from holdfast.doors.beanstalk.names import DEFAULT
from holdfast.doors.beanstalk.parser import Feed
from holdfast.doors.beanstalk.replies import FORBIDDEN, INTERNAL_ERROR, OUT_OF_MEMORY, UNAUTHENTICATED, of_error
from holdfast.engine.access import caller_here
from holdfast.errors import HoldfastError
from holdfast.limits import (
    PROGRESS_BYTES_HELD,
    REQUEST_CHUNK_BYTES,
    TUBE_READ_AHEAD_BYTES,
    TUBE_UNANSWERED,
    TUBE_UNANSWERED_BYTES,
    UNREAD_S,
)
from holdfast.logs import structlog

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.door import Beanstalk

_LAST_WORDS_S = 1.0  # for a client to read why it is disconnected
log = structlog.get_logger(__name__)


class Slot:
    """The place of the replies to one command, or to several that are sent as one."""

    __slots__ = ("commands", "done", "parts", "weight")

    def __init__(self, commands: int, weight: int = 0) -> None:
        self.commands = commands
        self.weight = weight
        self.parts: list[bytes] = []
        self.done = False


class Connection(asyncio.Protocol):
    """A client. The verbs are in `verbs.py`; here is what they have in common: order, bounds, and the end."""

    def __init__(self, door: "Beanstalk") -> None:
        self.door = door
        self.engine = door.engine
        self.loop = asyncio.get_running_loop()
        self.used = DEFAULT
        self.watched = [DEFAULT]
        self.held = Held(self.loop.time, self, door.holders)
        self.coalesced = verbs.Coalesced()
        self.roles: set[str] = set()
        self.worker = "beanstalk"
        self.actor = Actor(door="beanstalk")
        self.address = ""
        self.caller: Caller | None = None  # where access keys are in force
        self.alone = False  # a command in progress that nothing may pass
        self.gone = False
        self.leaving = False
        self.half_closed = False
        self._transport: asyncio.Transport | None = None
        self._feed = Feed(door.engine.payload_bytes)
        self._next: Asked | None = None
        self._slots: deque[Slot] = deque()
        self._unanswered = 0
        self._weight = 0
        self._phase = verbs.SAID
        self._busy = False
        self._slow_reader = False
        self._reading = self._is_next = True  # to be read, see `Turns.came`
        self._waiting: asyncio.Task[Any] | None = None
        self.place: Place | None = None
        self._account = door.engine.budget.account(self._give_up)
        self._unread = 0  # bytes of replies at the last check
        self._unread_timer: asyncio.TimerHandle | None = None
        self._when_read: Callable[[], None] | None = None

    # The transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; one too many is refused."""
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
            )  # one whose machine has died should not hold its jobs for long
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if peer else ""
        if peer:
            self.worker = f"beanstalk {peer[0]}:{peer[1]}"
            self.actor = Actor("", self.address, "beanstalk")
        if not self.door.arrived(self, self.address):
            self.gone = True
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""
        if LOOP.asleep:
            LOOP.wake()
        if len(data) > REQUEST_CHUNK_BYTES and not self.engine.budget.turns.came(len(data), self._read_on):
            self._is_next = False
        self._feed.add(data)
        self.go_on()
        self._charge()

    def _charge(self) -> None:
        """Report to the budget what is held for this client: commands that are incomplete or wait, and replies that are not
        read.
        """
        held = len(self._feed)
        if self._slow_reader and self._transport is not None:
            held += self._transport.get_write_buffer_size()
        if held or self._account.held:
            self._account.hold(held)

    def _give_up(self) -> None:
        """There is no room for what is held for this client, and it has been stalled for longest."""
        if self._transport is not None and not self._slow_reader:
            self._transport.write(OUT_OF_MEMORY)
            self._transport.close()
            self.loop.call_later(_LAST_WORDS_S, self._transport.abort)
        else:
            self.abort()

    def _look_whether_read(self) -> None:
        assert self._transport is not None, "it was written to"
        left = self._transport.get_write_buffer_size()
        if left > self._unread - min(PROGRESS_BYTES_HELD, self._unread // 2):
            self.abort()
            return
        self._unread = left
        self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self._charge()

    def eof_received(self) -> bool:
        """The client has shut down its sending side; what it has sent is still answered, and a waiting reserve ends."""
        self.half_closed = True
        self.stop_waiting()
        self.go_on()
        return self._transport is not None and self._transport.can_write_eof()  # over TLS nothing can be answered any more

    def connection_lost(self, _: Exception | None) -> None:
        """The client has disconnected: its jobs are released, and so is what it is granted from now on."""
        if self.gone:
            return
        self.gone = True
        self._feed = Feed(0)
        self._account.close()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self.stop_waiting()
        if self.caller is not None:
            self.caller.closed(self)
        self.engine.give_back(self.held.refs())
        self.held.clear()
        self.door.left(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: do nothing more for it until it has caught up."""
        self._slow_reader = True
        if self._unread_timer is None and self._transport is not None:
            self._unread = self._transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self._mind_reading()
        self._charge()

    def resume_writing(self) -> None:
        """It has."""
        self._slow_reader = False
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        self._charge()
        doing, self._when_read = self._when_read, None
        self._is_known()
        if doing is not None:
            doing()
        self.go_on()

    def when_read(self, doing: Callable[[], None]) -> None:
        """Do this once the client has read what was written to it, which may be now."""
        if self._slow_reader:
            self._when_read = doing
        else:
            doing()

    def close(self) -> None:
        """Send what is written, and disconnect."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    # Commands in their order

    def go_on(self) -> None:
        """Process received commands, as far as possible; write answered replies; enforce the bounds."""
        if self._busy or self.gone or not self._is_known():
            return
        self._busy = True
        try:
            while self._may_act() and (asked := self._next or self._feed.next()) is not None:
                self._next = asked
                if not self._may_pass(asked):
                    break
                self._next = None
                if self.caller is not None and (word := self._counted()) is not None:
                    self.say(word)
                    continue
                verbs.ACTIONS[asked[0]](self, asked)
            verbs.send_gathered(self)
        finally:
            self._busy = False
        self.write()
        self._mind_reading()
        self._close_if_over()

    def _is_known(self) -> bool:
        """Set the caller in this context, if access keys are in force. One that has not logged in, and is not about to, is
        disconnected.
        """
        if not self.engine.keyring.in_force:
            return True
        if self.caller is None and self._transport is not None:
            certificate = self._transport.get_extra_info("peercert")
            known = known_otherwise(self.engine.keyring, self.door.allowed, self.address, certificate)
            try:
                if known is not None:
                    self.become(known)
            except HoldfastError as error:  # it has as many connections as it may have
                self._hang_up(of_error(error.code))
                return False
        CALLER.set(self.caller)
        if self.caller is None and not self.leaving and len(self._feed) and not self._feed.may_begin(AUTH):
            self._hang_up(UNAUTHENTICATED)
            return False
        return not self.gone

    def become(self, caller: Caller) -> None:
        """Be this key's from now on; raises `RateLimited` where that has too many connections open."""
        if caller is not self.caller:
            caller.opened(self, lambda _: self._hang_up(UNAUTHENTICATED))
            if self.caller is not None:
                self.caller.closed(self)
            self.caller = caller
            self.actor = Actor(caller.key.name, self.address, "beanstalk")
            CALLER.set(caller)

    def refusal(self, ability: Ability, queue: str) -> bytes | None:
        """What a command that needs this is answered with, unless the key lets do it."""
        if not self.engine.keyring.in_force:
            return None
        try:
            caller = caller_here(self.engine.keyring)
            assert caller is not None, "keys are in force"
            caller.need(ability)
        except HoldfastError as error:
            return of_error(error.code)
        return None if caller.sees(queue) else FORBIDDEN

    def sees(self, queue: str) -> bool:
        """Whether this client may see a queue."""
        return self.caller is None or self.caller.sees(queue)

    def _hang_up(self, word: bytes) -> None:
        """Send a last reply and close."""
        self.leaving = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(word)
            self._transport.close()
            self.loop.call_later(_LAST_WORDS_S, self._transport.abort)

    def _may_act(self) -> bool:
        return not (
            self.alone
            or self.leaving
            or self._slow_reader
            or self._unanswered >= TUBE_UNANSWERED
            or len(self._slots) >= TUBE_UNANSWERED
            or self._weight >= TUBE_UNANSWERED_BYTES
            or self._transport is None
            or self._transport.is_closing()
        )

    def _may_pass(self, asked: Asked) -> bool:
        """Whether a command may be sent while others are unanswered; the ones that were gathered are sent if it does not join them."""
        if self.coalesced.open and not verbs.joins(self, asked):
            verbs.send_gathered(self)
            if not self._may_act():
                return False
        phase = verbs.phase_of(self, asked)
        if self._unanswered and phase is not verbs.SAID and (phase is verbs.ALONE or phase < self._phase):
            return False
        self._phase = max(phase, self._phase)
        return True

    def _counted(self) -> bytes | None:
        """Count a command of the key; returns the reply if there were too many in this second."""
        assert self.caller is not None, "it is known"
        try:
            self.caller.count()
        except HoldfastError as error:
            return of_error(error.code)
        return None

    # Replies in theirs

    def say(self, reply: bytes) -> None:
        """Answer a command at once, behind those before it."""
        slot = Slot(0)
        slot.parts.append(reply)
        slot.done = True
        self._slots.append(slot)

    def open(self, commands: int = 1, weight: int = 0) -> Slot:
        """A place for the replies of commands that are sent to the store."""
        slot = Slot(commands, weight)
        self._slots.append(slot)
        self._unanswered += commands
        self._weight += weight
        return slot

    def answer(self, slot: Slot, *replies: bytes) -> None:
        """All commands of a slot are answered."""
        slot.parts += replies
        slot.done = True
        self._unanswered -= slot.commands
        self._weight -= slot.weight
        if not self._unanswered:
            self._phase = verbs.SAID
        if not self.gone:
            self.go_on()

    def write(self) -> None:
        """Write the answered replies, from the first on."""
        out: list[bytes] = []
        slots = self._slots
        while slots:
            slot = slots[0]
            if slot.parts:
                out += slot.parts
                slot.parts = []
            if not slot.done:
                break
            slots.popleft()
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    # Commands that take more than one step

    def run_alone(self, doing: Callable[["Connection", Asked], Coroutine[Any, Any, bytes]], asked: Asked) -> None:
        """Run a command that lets none pass, to its end."""
        self.alone = True
        self.door.keep(asyncio.ensure_future(self._finish(doing(self, asked), self.open())))

    async def _finish(self, doing: Coroutine[Any, Any, bytes], slot: Slot) -> None:
        ACTOR.set(self.actor)  # this is a task of its own
        try:
            reply = await doing
        except HoldfastError as error:
            reply = of_error(error.code)
        except Exception:
            log.exception("a command of the beanstalkd protocol raised")
            reply = INTERNAL_ERROR
        self.alone = False
        self.answer(slot, reply)

    def wait(self, waiting: "asyncio.Task[Any]") -> None:
        """This task waits for a job; see `stop_waiting`."""
        self._waiting = waiting

    def has_sent_all(self) -> bool:
        """Whether the client sends nothing more, and still reads."""
        return self.half_closed and not self.gone

    def stop_waiting(self) -> None:
        """A reserve that waits is not to wait any longer."""
        if self._waiting is not None:
            self._waiting.cancel()

    def waited(self) -> None:
        """Nobody waits any more."""
        self._waiting = None
        self.alone = False

    # Bounds, and the end

    def _mind_reading(self) -> None:
        """Read no further while the bytes that are here can't be acted on."""
        stuck = len(self._feed) > TUBE_READ_AHEAD_BYTES and (self._next is not None or not self._may_act())
        stuck = stuck or not self._is_next
        if stuck is self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = not stuck
            if stuck:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _read_on(self) -> None:
        self._is_next = True
        self._mind_reading()

    def _close_if_over(self) -> None:
        """Disconnect a client that has sent all and is answered, and while the server drains an idle one."""
        if self.leaving and not self._unanswered:
            self.close()
        if self._unanswered or self._next is not None or not self._may_act():
            return
        if self.half_closed or (self.door.draining and not self.held and self._feed.is_between):
            self.close()
