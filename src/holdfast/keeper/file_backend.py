"""Without a keeper: the store is a file, and the committer runs in the server's own process (`fronts` 0).

A caller that waits for one job after the other pays no second process and no socket to it. In return nothing is read from the
network while the file is flushed. When the store breaks, `abandoned` says that its file must not be closed: that would flush and checkpoint it,
and a flush that succeeds now proves nothing.
"""

import asyncio
import sys
from collections.abc import Callable

from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.keeper.settings import BackupPlan
from holdfast.keeper.store_file import FAILED, SWITCH_S, back_up, open_store
from holdfast.logs import structlog
from holdfast.stores.sqlite.store import SqliteStore

log = structlog.get_logger(__name__)


async def opened(config: Config) -> SqliteStore:
    """The store, opened in a thread: a large one may take its time, and meanwhile a second signal ends the server. Raises `UnfitPlace`. Where
    it is wanted no more, it is closed again.
    """
    opening = asyncio.create_task(
        asyncio.to_thread(open_store, config.store_path(), config.policy(), config.disk_watermark_bytes), name="open"
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await (await opening).close()
        raise


class FileBackend(LocalBackend):
    """A `Backend` in this process, over a store file or memory."""

    problem: str | None = None
    away: str | None = None

    def __init__(self, config: Config, store: SqliteStore, on_lost: Callable[[str], None], plan: BackupPlan | None) -> None:
        super().__init__(store, SystemClock(), config.worker_silence_ms, config.audit_retention_ms())
        self.abandoned = False
        self.let_go = store.let_go_of_cache
        self._path = config.store_path()
        self._plan = plan
        self._on_lost = on_lost
        self._backing_up: asyncio.Future[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Start."""
        sys.setswitchinterval(SWITCH_S)
        self._backing_up = back_up(self._path, self._plan, self)
        self.start().add_done_callback(self._ended)

    def report(self, text: bytes) -> None:
        """There are no other fronts to merge."""

    async def close(self) -> None:
        """Commit what waits, and close the file; leave it as it is if the store is broken."""
        await self._end_backups()
        await self.halt()
        if not self.abandoned:
            await self._store.close()

    async def _end_backups(self) -> None:
        if self._backing_up is not None:
            self._backing_up.cancel()
            await asyncio.gather(self._backing_up, return_exceptions=True)

    async def _end_work(self) -> None:
        """While open requests are answered, nothing more is done to a broken store."""
        await self._ticker.stop()
        await self._end_backups()

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if running.cancelled():
            return
        self.abandoned = True
        self._ending = asyncio.create_task(self._end_work(), name="end")
        cause = self.committer.broken or running.exception()
        log.critical(FAILED, error=str(cause))
        self._on_lost("The store failed: what was on its way has an unknown outcome. The log above says why.")
