"""Keeps the keyring of a front up to date: keys are read at the start, after news of a change, and if a check each second finds
a change.

News reports the changes of this store's own commits at once. The check of the version each second finds the others (by other
nodes, and by `holdfast key` beside a server), and lost news. So a revoked key is refused everywhere within 2 s.

A look at the keys may hang, by a connection that does, while the store answers on others: it is left soon, and another begun.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from holdfast.auth.caller import unauthorized
from holdfast.auth.keyring import Keyring
from holdfast.engine.access import NOBODY
from holdfast.engine.hub import Hub
from holdfast.engine.reader import Reader
from holdfast.engine.waiters import Waiters
from holdfast.errors import HoldfastError
from holdfast.limits import KEY_USE_NOTED_S
from holdfast.logs import structlog
from holdfast.messages.backend import Backend
from holdfast.messages.events import Committed
from holdfast.messages.key_commands import KeyList, NoteKeyUse

log = structlog.get_logger(__name__)
_TICK_S = 1.0
_PATIENCE_S = (0.5, 1.0, 2.0)  # of one look after the other; the next one has as long as the store takes, which may be slow


class KeyWatch:
    """Loads the keys into a keyring again when they have changed."""

    def __init__(self, keyring: Keyring, reading: Reader, backend: Backend, hub: Hub, arrivals: Waiters) -> None:
        self._keyring = keyring
        self._hub = hub
        self._arrivals = arrivals
        self._reading = reading
        self._backend = backend
        self._loading: asyncio.Task[None] | None = None
        self._again = False
        self._noted_at = time.monotonic()
        self._logged = False

    def take(self, news: Committed) -> None:
        """Load the keys if the news reports a change."""
        if news.keys is not None and news.keys != self._keyring.version:
            self._renew()

    async def begin(self) -> None:
        """Load the keys before requests are accepted; while the store can't be reached, all are refused."""
        self._keyring.await_load()
        await self._load()

    async def run(self) -> None:
        """Once a second, until cancelled: end expired keys, and check whether the keys have changed."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._keyring.tick()
            self._renew()
            if time.monotonic() - self._noted_at >= KEY_USE_NOTED_S:
                self.note_use()

    def note_use(self) -> None:
        """Store when keys were last used, without waiting for the commit."""
        self._noted_at = time.monotonic()
        if used := self._keyring.take_used():
            self._backend.submit(NoteKeyUse(used))

    async def renewed(self) -> None:
        """Wait until the keyring has the keys that are in the store now; called after a change. If the store can't be read, it
        returns after a second, and the keys are loaded later.
        """
        self._renew()
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=_TICK_S)

    def _renew(self) -> None:
        if self._loading is not None and not self._loading.done():
            self._again = True
            return
        self._loading = asyncio.ensure_future(self._load())

    async def _load(self) -> None:
        self._again = True
        while self._again:
            try:
                found = await self._look()
            except HoldfastError as error:
                if not self._logged:
                    log.warning("the access keys can't be read; trying again", reason=error.detail)
                self._logged = True
                self._keyring.is_loaded = self._keyring.version >= 0
                return
            self._logged = False
            if found.keys is not None:
                was_open = not self._keyring.in_force
                self._keyring.take(found.version, found.keys)
                if was_open and self._keyring.in_force:
                    self._hub.end_anonymous(unauthorized(NOBODY))
                self._hub.look_at_keys()
                self._arrivals.look_again()  # waiting calls check again what their keys permit
            self._keyring.is_loaded = True

    async def _look(self) -> KeyList:
        for patience_s in _PATIENCE_S:
            self._again = False
            with contextlib.suppress(HoldfastError):
                return await self._reading.keys_unless(self._keyring.version, patience_s)
        self._again = False
        return await self._reading.keys_unless(self._keyring.version)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the keys within this context."""
        task = asyncio.create_task(self.run(), name="keys")
        try:
            yield
        finally:
            task.cancel()
            self.note_use()
