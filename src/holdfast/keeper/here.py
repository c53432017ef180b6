"""Without a keeper: the store is a database elsewhere, and the committer runs in the server's own process.

To the front it looks as `KeeperLink` does. The server starts whether the database is there or not: until it is, nothing is taken and
readiness says so, and it goes on trying.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

from holdfast.config import Config
from holdfast.engine.inprocess import InProcess
from holdfast.errors import StoreUnavailable
from holdfast.keeper.link import KeeperLink
from holdfast.stores.postgres.doctor import judge
from holdfast.stores.postgres.examining import examine
from holdfast.stores.postgres.store import PostgresStore

log = structlog.get_logger(__name__)
_FIRST_LOOK_S = 10.0


class Here(InProcess):
    """A `Backing` in this process, over PostgreSQL."""

    def __init__(self, config: Config, on_lost: Callable[[], None]) -> None:
        store = PostgresStore(
            config.store,
            config.policy(),
            config.replicas,
            config.standbys,
            config.commit_timeout_ms,
            config.max_payload_bytes,
        )
        super().__init__(store, store.clock, config.worker_silence_ms)
        self._config = config
        self._on_lost = on_lost
        self._closing = False
        self.problem: str | None = None

    async def connect(self) -> None:
        """Begin; a first look at the database, so that a server whose database is there is ready from its first moment."""
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._store.tend()
        except TimeoutError:
            log.warning("the database does not answer yet; starting without it")
        else:
            await self._examine()
        self.start().add_done_callback(self._ended)

    async def _examine(self) -> None:
        """Say at the start what `holdfast doctor` would say. It stops nobody: what can't be proven is not answered."""
        try:
            facts = await examine(self._config.store)
        except StoreUnavailable:
            return  # told already, and told again until it is there
        for finding in judge(facts, self._config.replicas, self._config.standbys):
            tell = log.error if finding.breaks else log.warning
            tell(finding.seen, code=finding.code, means=finding.means, mend=finding.mend)

    def report(self, text: bytes) -> None:
        """There is one front to a node; nobody else tells of it."""

    async def close(self) -> None:
        """Commit what waits, and let go of the database."""
        self._closing = True
        await self.stop()

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not self._closing and not running.cancelled():
            log.critical("the committer ended", exc_info=running.exception())
            self._on_lost()


async def far_side(config: Config, sock: socket.socket | None, on_lost: Callable[[], None]) -> KeeperLink | Here:
    """What the engine talks to, connected: the keeper at the other end of a socket, or the store here."""
    if sock is None:
        here = Here(config, on_lost)
        await here.connect()
        return here
    link = KeeperLink(on_lost)
    await link.connect(sock)
    return link
