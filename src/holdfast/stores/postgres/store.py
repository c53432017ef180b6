"""The PostgreSQL store: any number of nodes over one database. The database is the truth; a node remembers nothing that it could not lose.

A batch has a connection to itself. A failure before its COMMIT is sent is a definite no: `StoreUnavailable`, `NotReplicated`,
or `TryAgain` if another node was first. From then on only the proof counts (`replication.py`): without it the outcome is
unknown, every connection is dropped, and the next batch begins on a new one, on whichever server then accepts writes.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from holdfast.errors import Overloaded, StorageFull, StoreUnavailable
from holdfast.job.queue import Queue, QueuePolicy
from holdfast.job.registry import Roster
from holdfast.limits import PAYLOAD_BYTES
from holdfast.logs import structlog
from holdfast.messages.frame import A, Query
from holdfast.messages.views import Durability
from holdfast.messages.views import Replication as ReplicationState
from holdfast.stores.health import Health
from holdfast.stores.postgres.cache import Cache, recover_queues
from holdfast.stores.postgres.connect import GONE, IN_THE_WAY, READER, READERS, STATEMENT_S, WRITER, connect
from holdfast.stores.postgres.held_queues import HeldQueues
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.inbox import PostgresInbox
from holdfast.stores.postgres.migrate import migrate
from holdfast.stores.postgres.pooler import Pooled
from holdfast.stores.postgres.producers import Producers, tell_bounds
from holdfast.stores.postgres.reader import PostgresSnapshot
from holdfast.stores.postgres.replication import Replication
from holdfast.stores.postgres.side_connection import SideConnection
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.postgres.transaction import PostgresTransaction
from holdfast.stores.read_queue import Line, ReadQueue, line_of
from holdfast.stores.reader import Reader
from holdfast.stores.rows import queue_of
from holdfast.stores.store import OutcomeLost, Prefetch, RowHeld, TryAgain

log = structlog.get_logger(__name__)
_READ_S = 6.0  # longer than the server's own bound on one statement
FULL_S = 5.0  # between two tries to take new jobs onto a full disk
SILENT_S = 5.0  # a batch that has waited for so long, while checks find no holder, waits for a stopped server
_CONNECTED_S = (
    10.0  # how long a caller waits for a connection; the attempt itself continues, as a step of the schema may take minutes
)
_BACKOFF_S = (0.05, 2.0)


class PostgresStore:
    """Jobs in a PostgreSQL database. `replicas` standbys have flushed before an answer; `standbys` may name the ones that count. `options`:
    those of a job with their JSON types, for `holdfast.enqueue`; None: as another node has said.
    """

    shared = True

    def __init__(
        self,
        url: str,
        defaults: QueuePolicy,
        replicas: int = 0,
        standbys: tuple[str, ...] = (),
        commit_timeout_ms: int = 10_000,
        payload_bytes: int = PAYLOAD_BYTES,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.durability = Durability("replicated", replicas) if replicas else Durability("disk")
        self._url = url
        self._cache = Cache(defaults)
        self.clock = self._cache.clock
        self.replication = Replication(replicas, standbys, commit_timeout_ms / 1000)
        self._aside = SideConnection(url, self.replication)
        # Longer than a batch can take, its undoing and its proof included.
        self._batch_s = 2 * (STATEMENT_S + commit_timeout_ms / 1000)
        self._payload_bytes = payload_bytes
        self._options = options
        self.inbox = PostgresInbox(url)
        self._producers = Producers()
        self._held = HeldQueues()
        self._writer: Any = None
        self._trying: asyncio.Task[Any] | None = None
        self._one_writes = asyncio.Lock()
        self._batch: tuple[PostgresTransaction, Any, float] | None = None
        self._idle_readers: list[Any] = []
        self._turns = ReadQueue(READERS)
        self._problem: StoreUnavailable | None = StoreUnavailable("PostgreSQL has not been reached yet.", retry_after_ms=1_000)
        self._tries = 0
        self._not_before = 0.0
        self._full_until = 0.0

    @asynccontextmanager
    async def transaction(self, expected: Prefetch | None = None) -> AsyncIterator[PostgresTransaction]:
        """Begin; leaving without `commit` undoes everything."""
        async with self._one_writes:
            connection = await self._connected()
            self._cache.names_of_few()
            tx = PostgresTransaction(connection, self._cache, self.replication, expected, self._held)
            too_long = asyncio.get_running_loop().call_later(STATEMENT_S, _give_up, tx, connection)
            self._batch = tx, connection, time.monotonic()
            try:
                await tx.begin()
                yield tx
            except BaseException as error:
                failure = await self._undone(tx, connection, error)
                if failure is error:
                    raise
                raise failure from error
            finally:
                self._batch = None
                too_long.cancel()
            if not tx.committed:
                await self._undo(tx, connection)

    async def _undone(self, tx: PostgresTransaction, connection: Any, error: BaseException) -> BaseException:
        """Undo, and say what kind of failure it was."""
        if isinstance(error, OutcomeLost) or tx.sent:
            log.warning("the outcome of a batch is not known", reason=str(error))
            await self._drop()
            return error if isinstance(error, OutcomeLost | asyncio.CancelledError) else OutcomeLost(described(error))
        await self._undo(tx, connection)
        if isinstance(error, IN_THE_WAY):
            return TryAgain(described(error))
        if isinstance(error, asyncpg.LockNotAvailableError):  # such as an abandoned commit that still waits for its standbys
            return await self._waited_in_vain(tx, connection)
        if isinstance(error, asyncpg.DiskFullError):
            self._full_until = time.monotonic() + FULL_S
            return StorageFull("The database's disk is full; nothing was changed.", retry_after_ms=10_000)
        if isinstance(error, GONE) and not isinstance(error, StoreUnavailable):
            await self._drop()
            return StoreUnavailable(f"PostgreSQL went away: {described(error)}. Nothing was changed.", retry_after_ms=500)
        return error

    async def _waited_in_vain(self, tx: PostgresTransaction, connection: Any) -> BaseException:
        """A lock timed out: find its holder, so that the batch can be retried without that queue."""
        if tx.wanted is None:
            self._held.suspect()
            return RowHeld(RowHeld.detail)
        try:
            async with asyncio.timeout(STATEMENT_S):
                found = await self._held.find(connection, tx.wanted)
        except (*GONE, asyncpg.PostgresError) as error:
            await self._drop()
            return StoreUnavailable(f"PostgreSQL went away: {described(error)}. Nothing was changed.", retry_after_ms=500)
        if found:
            return TryAgain("a queue was waited for in vain")
        return StoreUnavailable(
            "The queues are locked by a transaction that does not end; nothing was changed.", retry_after_ms=1_000
        )

    async def _undo(self, tx: PostgresTransaction, connection: Any) -> None:
        self._cache.workers_version = None
        tx.put_back_numbers()
        try:
            if not connection.is_closed():
                async with asyncio.timeout(STATEMENT_S):
                    await connection.execute("ROLLBACK")
        except (*GONE, asyncpg.PostgresError):
            await self._drop()

    async def _connected(self) -> Any:
        """The writing connection. One attempt at a time, and after a failure none for a while, in which callers are refused at
        once.

        An attempt continues when its caller gives up or is cancelled, so that a step of the schema is not interrupted.
        """
        if self._writer is not None and not self._writer.is_closed():
            return self._writer
        if self._trying is None:
            if time.monotonic() < self._not_before and self._problem is not None:
                raise self._problem.with_traceback(None)  # else it gets longer with each call
            self._trying = asyncio.create_task(self._try(), name="connect")
        trying = self._trying
        await asyncio.wait({trying}, timeout=_CONNECTED_S)
        if not trying.done() or trying.cancelled():
            raise StoreUnavailable("PostgreSQL has not got ready yet.", retry_after_ms=1_000)
        connection = trying.result()
        if isinstance(connection, StoreUnavailable):
            raise connection
        return connection

    async def _try(self) -> Any:
        """Connect. Returns the connection, or the reason why there is none."""
        connection: Any = None
        try:
            connection = await connect(self._url, WRITER, unwavering=True)
            await migrate(connection)
            await tell_bounds(connection, self._cache.defaults, self._payload_bytes, self._options)
            await recover_queues(connection)
        except (StoreUnavailable, *GONE, asyncpg.PostgresError) as error:
            await self._drop()
            self._tries += 1
            most = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2 ** min(self._tries, 10))
            self._not_before = time.monotonic() + most * (0.5 + random.random() / 2)  # noqa: S311  (it spreads the nodes)
            if self._tries == 1:
                log.warning("PostgreSQL is not available; retrying", reason=described(error))
            self._problem = (
                error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"{described(error)}.", retry_after_ms=1_000)
            )
            return self._problem
        else:
            if self._tries:
                log.info("PostgreSQL is available again", tries=self._tries)
            self._tries, self._problem = 0, None
            self._writer = connection
            return connection
        finally:
            self._trying = None
            if connection is not None and connection is not self._writer:
                connection.terminate()

    async def _drop(self) -> None:
        """Let go of every connection: another server may be the one that counts now."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.terminate()
        readers, self._idle_readers = self._idle_readers, []
        for reader in readers:
            reader.terminate()
        self._cache.forget()
        self._held.forget()
        await self._aside.drop()
        await self.inbox.drop()

    async def next_due(self) -> int | None:
        """The earliest time at which a lease expires, a scheduled job is due, a waiting one expires or a schedule fires."""
        bounds = self._cache.floor(), list(self._held.queues)
        return await self._reading(lambda connection: connection.fetchval(SQL["earliest"], *bounds))  # type: ignore[no-any-return]

    async def read(self, query: Query[A], now: int) -> A:
        """Answer a query on a snapshot of its own, beside the batches."""
        found: A = await self._reading(
            lambda connection: Reader(PostgresSnapshot(connection), self._cache.defaults, self._cache.names).answer(query, now),
            line_of(query),
        )
        return found

    async def _reading(self, ask: Callable[[Any], Any], line: Line = Line.CHEAP) -> Any:
        await self._turns.take(line)
        try:
            return await self._read_by(await self._reader(), ask)
        finally:
            self._turns.give(line)

    async def _reader(self) -> Any:
        if self._problem is not None:
            await self._connected()  # the schema may not be there yet
        self._idle_readers = [one for one in self._idle_readers if not one.is_closed()]
        return self._idle_readers.pop() if self._idle_readers else await connect(self._url, READER, unwavering=True)

    async def _read_by(self, connection: Any, ask: Callable[[Any], Any]) -> Any:
        try:
            async with asyncio.timeout(_READ_S):
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                answer = await ask(connection)
                await connection.execute("COMMIT")
        except GONE as error:
            connection.terminate()
            if isinstance(error, asyncpg.QueryCanceledError) or (isinstance(error, TimeoutError) and self._problem is None):
                raise Overloaded("This read took too long; narrow the filter.", retry_after_ms=1_000) from None
            raise StoreUnavailable(f"PostgreSQL can't be read: {described(error)}.", retry_after_ms=500) from error
        except Exception:
            await self._end_read(connection)
            raise
        except BaseException:
            connection.terminate()
            raise
        self._idle_readers.append(connection)
        return answer

    async def _end_read(self, connection: Any) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                await connection.execute("ROLLBACK")
        except (*GONE, asyncpg.PostgresError):
            connection.terminate()
        else:
            self._idle_readers.append(connection)

    def in_memory(self) -> tuple[Mapping[str, Queue], Roster] | None:
        """Nothing: other nodes write, too."""
        return None

    def accepting(self) -> bool:
        """The database reports a full disk: for a while after that no new jobs are tried, so that they do not undo the ends of
        leases in their batch.
        """
        return time.monotonic() >= self._full_until

    def spend_reserve(self) -> bool:
        """There is none."""
        return False

    def health(self) -> Health:
        """As it was seen last, within about a second."""
        state = self.replication
        in_sync = state.in_sync or 0
        reason = None
        if self._problem is not None:
            reason = "store_unavailable"
        elif state.needed and in_sync < state.needed:
            reason = "not_replicated"
        elif not self.accepting():
            reason = "storage_full"
        told = ReplicationState(state.needed, in_sync, state.lag_bytes, state.unknown, state.proofs, state.proof_seconds)
        return Health(self._aside.database_bytes, 0, 0, reason is None, reason or "", told, self._held.seen(), self.inbox.state)

    @property
    def problem(self) -> str | None:
        """Why it can't be used, as it was seen last."""
        return None if self._problem is None else self._problem.detail

    @property
    def pooled(self) -> bool:
        """Whether it can't be used because of a pooler in between, as it was seen last."""
        return isinstance(self._problem, Pooled)

    async def look_at(self, names: Sequence[str]) -> list[Queue]:
        """These queues, unlocked."""
        found = await self._reading(lambda connection: connection.fetch(SQL["peek"], list(names)))
        return [queue_of(row, self._cache.defaults) for row in found]

    async def produced_beside(self) -> bool:
        """Whether applications enqueue by SQL just now."""
        self._producers.seen(await self._aside.calls_by_sql())
        return self._producers.at_work

    async def tend(self) -> None:
        """Connect if needed, and check the standbys. `health` reports the result."""
        try:
            await self._connected()
            await self._aside.look()
        except StoreUnavailable as error:
            self._problem = error
            if not self._one_writes.locked():
                await self._drop()
            elif self._batch is not None and time.monotonic() - self._batch[2] > SILENT_S:
                _give_up(*self._batch[:2])
        else:
            self._problem = None

    async def notify(self, text: str) -> None:
        """Tell the other nodes."""
        await self._aside.notify(text)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the notifications of nodes."""
        self._aside.listen(listener)

    async def share_beats(self, beats: dict[str, int]) -> None:
        """Exchange heartbeats with the other nodes; raises if that fails, and then no worker must be considered silent."""
        try:
            await self._aside.share_beats(beats)
        except (*GONE, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"Beats can't be shared: {described(error)}.", retry_after_ms=1_000) from error

    async def close(self) -> None:
        """Close all connections; ids that were taken and not used are returned."""
        if self._trying is not None:
            self._trying.cancel()  # it closes its connection and issues no more queries
            await asyncio.wait({self._trying})
            self._trying = None
        try:
            async with asyncio.timeout(self._batch_s), self._one_writes:
                await self._give_back()
        except TimeoutError:
            log.warning("a batch does not end; closing anyway")
        await self._drop()

    async def _give_back(self) -> None:
        if self._writer is None or self._writer.is_closed():
            return
        blocks = (self._cache.jobs, self._cache.fences)
        try:
            async with asyncio.timeout(2.0):
                await self._writer.execute(
                    SQL["give_back"], *[number for block in blocks for number in (block.next - 1, block.last)]
                )
        except (*GONE, asyncpg.PostgresError):
            log.debug("some reserved numbers were not returned")


def _give_up(tx: PostgresTransaction, connection: Any) -> None:
    """How long a stopped server can delay a batch; a batch that was not sent for commit is certainly not stored."""
    if not tx.sent:
        connection.terminate()
