"""`holdfast restore`: a backup becomes the store of a server that is going to be started."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from holdfast.cli.check import Existing
from holdfast.config import Config
from holdfast.stores.sqlite.copies import Restored, newest_backup, restore
from holdfast.stores.sqlite.files import UnfitPlace, why
from holdfast.units import counted

_DATABASE = (
    "this puts a backup in a store file. A database is restored by PostgreSQL's own means, a base backup with the archived log (to a moment), "
    "or pg_restore; then verify it with `holdfast check --store URL` (docs/postgresql.md#backup-and-restore). To put the backup of a file into "
    "an empty database: `holdfast move --from sqlite:///BACKUP --to URL`."
)


@click.command(name="restore")
@click.argument("backup", type=Existing(exists=True, path_type=Path))
@click.option(
    "--store",
    required=True,
    envvar="HOLDFAST_STORE",
    metavar="STORE",
    help="Where to: sqlite:///PATH, as for serve. It must have no jobs, queues or schedules, and no server.",
)
def restore_backup(backup: Path, store: str) -> None:
    """Put a BACKUP in place as the store of a server, verified and fsynced.

    BACKUP is a file that `holdfast backup` or `--backup-to` has made, or a folder of these: then the newest in it. A store that has
    anything is never overwritten, nor one that a server uses. Everything since the backup is undone: jobs concluded since run again, and
    access keys revoked since are valid again.
    """
    config = Config(store=store)
    if config.database():
        _refuse(_DATABASE, 2)
    target = config.store_path()
    if target is None or not store.startswith("sqlite:///") or store == "sqlite:///":
        _refuse(f"--store must be sqlite:///PATH, not {store!r}.", 2)
    try:
        if backup.is_dir():
            backup = newest_backup(backup)
        restored = restore(backup, target)
    except (UnfitPlace, OSError) as error:
        _refuse(why(error), 1)
    click.echo(f"{backup} is restored to {target}, fsynced and verified.\n{_told(restored)}", err=True)


def _told(restored: Restored) -> str:
    jobs = ", ".join(f"{count} {state}" for state, count in restored.jobs.items() if count)
    has = f"{counted(sum(restored.jobs.values()), 'job')} ({jobs or 'none'}) in {counted(restored.queues, 'queue')}"
    lines = [f"It has {has}, {counted(restored.schedules, 'schedule')} and {counted(restored.keys, 'access key')}."]
    if restored.newest_at is not None:
        newest = datetime.fromtimestamp(restored.newest_at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        lines.append(
            f"The last job in it was enqueued or ended at {newest}. Jobs enqueued since are lost, jobs concluded since run again."
        )
    if restored.jobs["leased"]:
        lines.append(
            "Leased jobs are ready again 6 s after the start, unless their workers extend the leases; no crash is counted."
        )
    if restored.keys:
        lines.append("Access keys that were revoked since are valid again: look at `holdfast key ls`.")
    return "\n".join(lines)


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
