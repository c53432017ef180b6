"""Without a keeper: the store is a database elsewhere, and the committer runs in the server's own process.

The front uses it as it does `KeeperLink`. The server starts whether the database is up or not: until it is, nothing is
accepted, readiness says so, and it keeps trying.
"""

import asyncio
from collections.abc import Callable

from holdfast.committer.intake import Intake
from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.messages.inbox import InboxReading
from holdfast.stores.postgres.start_check import refusal
from holdfast.stores.postgres.store import PostgresStore
from holdfast.units import counted, is_or_are

log = structlog.get_logger(__name__)
_FIRST_LOOK_S = 10.0
_LOOK_AGAIN_S = 1.0


class PostgresBackend(LocalBackend):
    """A `Backend` in this process, over PostgreSQL."""

    abandoned = False
    let_go = None

    def __init__(self, config: Config, on_lost: Callable[[str], None], reading: InboxReading) -> None:
        store = PostgresStore(
            config.store,
            config.policy(),
            config.replicas,
            config.standbys,
            config.commit_timeout_ms,
            config.max_payload_bytes,
            reading.options,
        )
        super().__init__(store, store.clock, config.worker_silence_ms, config.audit_retention_ms())
        self.intake = Intake(store.inbox, reading, self.submit, self.totals.taken_in)
        self._database = store
        self._config = config
        self._on_lost = on_lost
        self._closing = False
        self._examining: asyncio.Task[str | None] | None = None
        self.problem: str | None = None

    async def connect(self) -> None:
        """Start, with a first check of the database, so that the server is ready at once if the database is up.

        `problem` says why it must not be used. A database that comes up later is checked then.
        """
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._store.tend()
        except TimeoutError:
            log.warning("the database does not answer yet; starting without it")
        self._examining = asyncio.create_task(self._examine(), name="examine")
        if self._store.health().reason != StoreUnavailable.code or self._database.pooled:
            await asyncio.wait({self._examining}, timeout=_FIRST_LOOK_S)
        if self._examining.done() and (problem := self._examining.result()) is not None:
            self.problem = problem
            await self._store.close()
            return
        self._examining.add_done_callback(self._examined)
        self.start().add_done_callback(self._ended)

    @property
    def away(self) -> str | None:
        """Why nothing is accepted yet, or at the moment."""
        state = self._database.health().replication
        if self._database.problem is None and state is not None and state.in_sync < state.needed:
            return (
                f"{counted(state.in_sync, 'standby')} {is_or_are(state.in_sync)} in sync, "
                f"and {state.needed} {is_or_are(state.needed)} needed."
            )
        return self._database.problem

    async def _examine(self) -> str | None:
        """Waits until the database can be checked: returns why it must not be used, or None."""
        config = self._config
        while True:
            try:
                return await refusal(config.store, config.replicas, config.standbys, config.require_sound)
            except StoreUnavailable:  # reported by the store, repeatedly until it is up
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _examined(self, examining: "asyncio.Task[str | None]") -> None:
        if not examining.cancelled() and (problem := examining.result()) is not None:
            self._on_lost(problem)

    def report(self, text: bytes) -> None:
        """A node has one front; there are no others to merge."""

    async def close(self) -> None:
        """Commit what waits, and disconnect from the database."""
        self._closing = True
        if self._examining is not None:
            self._examining.cancel()
        await self.stop()

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not self._closing and not running.cancelled():
            log.critical("the committer ended", exc_info=running.exception())
            self._on_lost("The committer ended: what was on its way has an unknown outcome. The log above says why.")
