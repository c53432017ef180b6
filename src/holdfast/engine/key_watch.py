"""Keeps a front's keyring as the store is: read at the start, at news of a change, and looked at every second whatever is told.

News brings what this store's own commits changed at once. That the version is asked for each second finds what nobody tells of (other nodes, and
`holdfast key` beside a server), and what was lost on the way. So a revoked key is refused everywhere within two.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import structlog

from holdfast.auth.caller import unauthorized
from holdfast.auth.keyring import Keyring
from holdfast.engine.access import NOBODY
from holdfast.engine.hub import Hub
from holdfast.engine.reader import Reader
from holdfast.engine.waiters import Waiters
from holdfast.errors import HoldfastError
from holdfast.limits import KEY_USE_NOTED_S
from holdfast.messages.backend import Backend
from holdfast.messages.events import Committed
from holdfast.messages.key_commands import NoteKeyUse

log = structlog.get_logger(__name__)
_TICK_S = 1.0


class KeyWatch:
    """Renews a keyring."""

    def __init__(self, keyring: Keyring, reading: Reader, backend: Backend, hub: Hub, arrivals: Waiters) -> None:
        self._keyring = keyring
        self._hub = hub
        self._arrivals = arrivals
        self._reading = reading
        self._backend = backend
        self._loading: asyncio.Task[None] | None = None
        self._again = False
        self._noted_at = time.monotonic()
        self._told = False

    def take(self, news: Committed) -> None:
        """Follow what has changed."""
        if news.keys is not None and news.keys != self._keyring.version:
            self._renew()

    async def begin(self) -> None:
        """Read the keys before anybody is let in; where the store is not there yet, nobody is until it is."""
        self._keyring.await_load()
        await self._load()

    async def run(self) -> None:
        """Once a second, until cancelled: end what has expired, and look whether the keys have changed."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._keyring.tick()
            self._renew()
            if time.monotonic() - self._noted_at >= KEY_USE_NOTED_S:
                self.note_use()

    def note_use(self) -> None:
        """Have it written when keys were last used; nobody waits for it."""
        self._noted_at = time.monotonic()
        if used := self._keyring.take_used():
            self._backend.submit(NoteKeyUse(used))

    async def renewed(self) -> None:
        """Have the keys as they are in the store now, for who has just changed one; if it can't be read, they come later."""
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
            self._again = False
            try:
                found = await self._reading.keys_unless(self._keyring.version)
            except HoldfastError as error:
                if not self._told:
                    log.warning("the access keys can't be read; trying on", reason=error.detail)
                self._told = True
                self._keyring.is_loaded = self._keyring.version >= 0
                return
            self._told = False
            if found.keys is not None:
                was_open = not self._keyring.in_force
                self._keyring.take(found.version, found.keys)
                if was_open and self._keyring.in_force:
                    self._hub.end_strangers(unauthorized(NOBODY))
                self._hub.look_at_keys()
                self._arrivals.look_again()  # who waits for jobs waits with what its key could do
            self._keyring.is_loaded = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the keys as long as this lasts."""
        task = asyncio.create_task(self.run(), name="keys")
        try:
            yield
        finally:
            task.cancel()
            self.note_use()
