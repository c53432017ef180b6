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

log = structlog.get_logger(__name__)


class FileBackend(LocalBackend):
    """A `Backend` in this process, over a store file or memory. Raises `UnfitPlace` where the file can't be opened."""

    problem: str | None = None
    away: str | None = None

    def __init__(self, config: Config, on_lost: Callable[[str], None], plan: BackupPlan | None) -> None:
        store = open_store(config.store_path(), config.policy(), config.disk_watermark_bytes)
        super().__init__(store, SystemClock(), config.worker_silence_ms, config.audit_retention_ms())
        self.abandoned = False
        self.let_go = store.let_go_of_cache
        self._path = config.store_path()
        self._plan = plan
        self._on_lost = on_lost
        self._closing = False
        self._backing_up: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Start."""
        sys.setswitchinterval(SWITCH_S)
        self._backing_up = back_up(self._path, self._plan, self)
        self.start().add_done_callback(self._ended)

    def report(self, text: bytes) -> None:
        """There are no other fronts to merge."""

    async def close(self) -> None:
        """Commit what waits, and close the file; leave it as it is if the store is broken."""
        self._closing = True
        if self._backing_up is not None:
            self._backing_up.cancel()
        if not self.abandoned:
            await asyncio.gather(*([self._backing_up] if self._backing_up is not None else []), return_exceptions=True)
            await self.stop()

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if self._closing or running.cancelled():
            return
        self.abandoned = True
        cause = self.committer.broken or running.exception()
        log.critical(FAILED, error=str(cause))
        self._on_lost("The store failed: what was on its way has an unknown outcome. The log above says why.")
