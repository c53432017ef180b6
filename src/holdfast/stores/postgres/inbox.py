"""The inbox of `holdfast.enqueue`: one node looks into it, on a connection of its own, and reads what has become visible since its last look.

An application's id and row are there from its call on, and can be seen from its commit on, in any order. Nobody announces a commit: a NOTIFY would
hold a lock of the whole server until its end, standbys included. So the node that holds an advisory lock looks every 50 ms. Each look finds what
snapshots say is new: rows of transactions that had not ended by the last snapshot. So what was taken in is never read again, however long it
can't be vacuumed because somebody's transaction is open. Now and then everything is read, for what was left behind.

The lock spares work and promises nothing: a row is locked and removed in the transaction that enqueues its job. If rows wait although a node has the
lock, any node takes them in.
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.messages.inbox import InboxRow, InboxState
from holdfast.stores.postgres.connect import GONE, READER, close, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.sql import SQL

ROWS = 1_000  # read in one go
BYTES = 4 << 20
_ASK_S = 6.0
_TURN = 0x486F6C67  # whose turn it is to look
_TRY_S = 0.5
_COUNT_S = 1.0
_COUNT_ANYWAY_S = (
    5.0  # what was put by a transaction that was open when it was counted has become visible since, and no call tells of it
)
_COUNT_SHARE = 20  # a count that takes long, over many dead rows, takes no more than this part of the time
_ALL_S = 10.0
_RECONNECT_S = 1.0
_TOO_LONG_MS = 2_000  # a row that waits for so long may be taken in by any node
_SETTINGS = READER | {"application_name": "holdfast-inbox"}
_EVERYTHING = "0:0:"


class Window:
    """What is looked for: what has become visible since a snapshot, and how far that was read."""

    def __init__(self) -> None:
        self.since = _EVERYTHING
        self.first: str | None = None  # the snapshot of the first look of this window
        self.after = ("0", 0)

    def restart(self) -> None:
        """Look at everything."""
        self.since, self.first, self.after = _EVERYTHING, None, ("0", 0)

    def bounds(self) -> tuple[str, list[str], str, int]:
        """From which transaction on all are new, those before it that were in progress, and the place to go on from."""
        _, first_new, in_progress = self.since.split(":")
        return first_new, in_progress.split(",") if in_progress else [], *self.after

    def read(self, snapshot: str, last: tuple[str, int] | None) -> None:
        """One look was made: up to this place, or to the end."""
        if self.first is None:
            self.first = snapshot
        if last is None:
            self.since, self.first, self.after = self.first, None, ("0", 0)
        else:
            self.after = last


class PostgresInbox:
    """See `stores.store.Inbox`."""

    def __init__(self, url: str) -> None:
        self.state = InboxState()
        self._url = url
        self._db: Any = None
        self._is_ours = False
        self._window = Window()
        self._calls: int | None = None
        self._is_left = False
        self._try_at = self._count_at = self._counted_at = self._all_at = self._not_before = 0.0

    async def arrived(self, passing_over: Mapping[int, Any]) -> list[InboxRow]:
        """The next rows to take in, in the order of their ids, without these; [] if there are none, or it is another node's turn."""
        now = time.monotonic()
        if now < self._not_before:
            return []
        try:
            if self._db is None or self._db.is_closed():
                await self._connect()
            if now >= self._count_at:
                await self._count(now)
            if self._calls is None or not await self._is_our_turn(now):
                return []
            if now >= self._all_at and (self._is_left or self.state.rows):
                self._is_left, self._all_at = False, now + _ALL_S
                self._window.restart()
            return await self._read(passing_over)
        except (StoreUnavailable, *GONE, asyncpg.PostgresError) as error:
            self._not_before = now + _RECONNECT_S
            await self.drop()
            raise StoreUnavailable(f"The inbox can't be read: {described(error)}.", retry_after_ms=1_000) from error

    def look_again(self, after_s: float) -> None:
        """Something was left behind: look at everything, in so many seconds; what is left later does not put that off."""
        if not self._is_left:
            self._is_left, self._all_at = True, time.monotonic() + after_s

    async def drop(self) -> None:
        """Let go of the connection, and of the turn."""
        connection, self._db = self._db, None
        self._is_ours = False
        self._window.restart()
        await close(connection)

    async def _connect(self) -> None:
        await self.drop()
        self._db = await connect(self._url, _SETTINGS, unwavering=True)

    async def _is_our_turn(self, now: float) -> bool:
        if not self._is_ours and now >= self._try_at:
            self._try_at = now + _TRY_S
            self._is_ours = await self._db.fetchval("SELECT pg_try_advisory_lock($1, 0)", _TURN, timeout=_ASK_S)
            if self._is_ours:
                self._window.restart()
            elif self.state.oldest_ms >= _TOO_LONG_MS:
                self._try_at = now + _TOO_LONG_MS / 1000
                self._window.restart()
                return True
        return self._is_ours or self._window.first is not None

    async def _count(self, now: float) -> None:
        calls = await self._db.fetchval(SQL["inbox_calls"], timeout=_ASK_S)
        if calls is not None and (calls != self._calls or self.state.rows or now >= self._counted_at + _COUNT_ANYWAY_S):
            with contextlib.suppress(asyncpg.QueryCanceledError):  # it takes too long; what waits is taken in without it
                rows, size, oldest_ms = await self._db.fetchrow(SQL["inbox_counted"], timeout=_ASK_S)
                self.state = InboxState(rows, int(size), oldest_ms or 0)
            self._counted_at = time.monotonic()
        self._count_at = now + max(_COUNT_S, _COUNT_SHARE * (time.monotonic() - now))
        if self._calls is None:
            self._window.restart()
        self._calls = calls

    async def _read(self, passing_over: Mapping[int, Any]) -> list[InboxRow]:
        """Until something was found, or the end."""
        while True:
            found = await self._db.fetch(SQL["inbox_new"], *self._window.bounds(), ROWS, timeout=_ASK_S)
            places = [(row[1], row[2], row[3]) for row in found if row[2] is not None]
            size, count = 0, 0
            for _, _, weight in places:
                size += weight
                if count and size > BYTES:
                    break
                count += 1
            is_end = count == len(places) < ROWS
            self._window.read(found[0][0], None if is_end else (places[count - 1][0], places[count - 1][1]))
            wanted = [job for _, job, _ in places[:count] if job not in passing_over]
            if wanted:
                return [InboxRow(*row) for row in await self._db.fetch(SQL["inbox_rows"], wanted, timeout=_ASK_S)]
            if is_end:
                return []
