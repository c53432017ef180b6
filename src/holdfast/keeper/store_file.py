"""The store file, opened and looked after: by the keeper, or by the server itself (`fronts` 0)."""

import asyncio
from pathlib import Path

from holdfast.committer.local_backend import LocalBackend
from holdfast.job.queue import QueuePolicy
from holdfast.keeper.backups import Backups
from holdfast.keeper.settings import BackupPlan
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.store import SqliteStore

SWITCH_S = 0.0005  # a reading thread releases the GIL to the committer after half a millisecond, not five
FAILED = "the store failed; stopping, because a retry would prove nothing"


def open_store(path: str | Path | None, defaults: QueuePolicy, watermark_bytes: int) -> SqliteStore:
    """The store in this file, in memory for None. Raises `UnfitPlace` with a sentence, whatever is the reason."""
    try:
        return SqliteStore(Path(path) if path is not None else None, defaults, watermark_bytes)
    except UnfitPlace:
        raise
    except Exception as error:
        raise UnfitPlace(f"{path} can't be opened: {type(error).__name__}: {error}") from error


def back_up(path: str | Path | None, plan: BackupPlan | None, backend: LocalBackend) -> "asyncio.Future[None]":
    """Make backups, if they are wanted, until this is cancelled."""
    if path is None or plan is None:
        return asyncio.get_running_loop().create_future()
    backups = Backups(Path(path), plan)
    backend.totals.backups = backups.state
    return asyncio.create_task(backups.run(), name="backups")
