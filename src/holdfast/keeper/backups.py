"""Scheduled backups (`--backup-to`): when one is due, a process beside the keeper makes it, and the oldest are removed.

    due ─▶ FOLDER/jobs-2026-11-30T20-00-00Z.db.part ─▶ verified, flushed ─▶ FOLDER/jobs-2026-11-30T20-00-00Z.db ─▶ all but `keep` are removed

When the next one is due follows from the names in the folder, so that restarts neither skip one nor make one more. A name of a moment
after the one just made is of a clock that was ahead, and the first to be removed. The folder must be
there: it may be the mount of another disk, and without it the backup fails, rather than fill the disk below. Nothing but a backup is
affected by a failure, which is logged, counted, shown by `/readyz`, and tried again.
"""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from holdfast.committer.ticker import LogLimit
from holdfast.keeper.settings import BackupPlan
from holdfast.messages.views import BackupState
from holdfast.stores.sqlite.copies import Kept, kept_backups, kept_name, part_of, remove_part, remove_parts
from holdfast.stores.sqlite.files import FileLock, UnfitPlace

log = structlog.get_logger(__name__)
_RETRY_S = 300.0
_TOLD_CHARS = 500  # of why one failed


class Backups:
    """The scheduled backups of one store file. `state` is for the metrics."""

    def __init__(self, store: Path, plan: BackupPlan) -> None:
        self._store = store
        self._plan = plan
        self._folder = Path(plan.folder)
        self._lock: FileLock | None = None
        self._log_limit = LogLimit()
        self.state = BackupState(every_ms=plan.every_ms)

    async def run(self) -> None:
        """Make one whenever it is due, until this is cancelled."""
        every_s = self._plan.every_ms / 1000
        try:
            due = time.monotonic() + self._left_s(every_s)
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                begun = time.monotonic()
                due = begun + (every_s if await self._try() else min(every_s, _RETRY_S))
        finally:
            if self._lock is not None:
                self._lock.release()

    def _left_s(self, every_s: float) -> float:
        """Until the next one is due, as the newest one in the folder is so old."""
        try:
            self._have_folder_to_oneself()
            now = datetime.now(UTC)
            newest = self._look(now)
        except (OSError, UnfitPlace):
            return 0.0  # which is told by the first try
        age_s = (now - newest.at).total_seconds() if newest is not None else every_s
        return every_s - age_s if 0 <= age_s < every_s else 0.0

    def _own(self, now: datetime) -> list[Kept]:
        return [one for one in kept_backups(self._folder, now) if one.stem == self._store.stem]

    def _look(self, now: datetime) -> Kept | None:
        """Take note of the newest one."""
        found = self._own(now)
        if not found:
            return None
        state = self.state
        state.last_at, state.bytes, state.kept = (
            round(found[-1].at.timestamp() * 1000),
            found[-1].path.stat().st_size,
            len(found),
        )
        return found[-1]

    async def _try(self) -> bool:
        """Make one, and remove the oldest; whether it went well."""
        begun = time.monotonic()
        try:
            self._have_folder_to_oneself()
            now = datetime.now(UTC).replace(microsecond=0)
            made = self._folder / kept_name(self._store, now)
            await self._copy(made)
            self.state.seconds = time.monotonic() - begun
            for old in self._own(now)[: -self._plan.keep]:  # as of that moment: what was just made is the newest
                old.path.unlink()
            self._look(now)
        except (OSError, UnfitPlace) as error:
            self._failed(str(error))
            return False
        except Exception as error:
            log.exception("a backup raised an error")
            self._failed(f"{type(error).__name__}: {error}")
            return False
        self.state.failing = ""
        self._log_limit = LogLimit()
        log.info("a backup is made", backup=str(made), bytes=self.state.bytes, seconds=round(self.state.seconds, 1))
        return True

    def _failed(self, why: str) -> None:
        self.state.failures += 1
        self.state.failing = why[:_TOLD_CHARS]
        if self._log_limit.should_log(why):
            log.error("a backup failed; it is tried again, and the server goes on", reason=why)

    def _have_folder_to_oneself(self) -> None:
        """Two servers whose files are called alike would remove each other's backups. What was interrupted is removed."""
        if not self._folder.is_dir():
            raise UnfitPlace(f"{self._folder} is not a folder that is there.")
        if self._lock is not None and not self._lock.stands():  # another folder or another disk is in its place
            self._lock.release()
            self._lock = None
        if self._lock is None:
            try:
                self._lock = FileLock(self._folder / f"{self._store.stem}.backups", new=True)
            except UnfitPlace:
                raise UnfitPlace(
                    f"{self._folder} is where another server puts the backups of its {self._store.stem}: give each a folder of its own."
                ) from None
        remove_parts(self._folder, self._store.stem)

    async def _copy(self, target: Path) -> None:
        command = (str(self._store), str(target), str(self._plan.spare_bytes))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "holdfast.keeper.copying", *command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            said = await process.stderr.read()
            code = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            remove_part(part_of(target))
            raise
        if code:
            lines = said.decode(errors="replace").strip().splitlines()
            raise UnfitPlace(lines[-1] if lines else f"The process that makes it ended with {code}.")
