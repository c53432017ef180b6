"""Which store's side the engine of a front talks to: the keeper in a process of its own, or a committer here."""

import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from holdfast.config import Config
from holdfast.doors.rest import inbox
from holdfast.keeper.link import KeeperLink
from holdfast.keeper.settings import BackupPlan, KeeperConfig

if TYPE_CHECKING:
    from holdfast.keeper.file_backend import FileBackend
    from holdfast.keeper.postgres_backend import PostgresBackend
    from holdfast.telemetry import Telemetry

    AnyBackend = KeeperLink | PostgresBackend | FileBackend

KEEPER_DIED = "The keeper died: what was on its way has an unknown outcome. The log above says why, if it could."


async def connect_backend(
    config: Config, sock: socket.socket | None, on_lost: Callable[[str], None], telemetry: "Telemetry | None" = None
) -> "AnyBackend":
    """What the engine talks to, connected: the keeper at the other end of a socket, or the store here. Raises `UnfitPlace`."""
    if sock is None:
        here = await _backend_here(config, on_lost, telemetry)
        await here.connect()
        return here
    gone = partial(on_lost, KEEPER_DIED)
    link = KeeperLink(gone) if telemetry is None else telemetry.keeper_link(gone)
    await link.connect(sock)
    return link


async def _backend_here(
    config: Config, on_lost: Callable[[str], None], telemetry: "Telemetry | None"
) -> "PostgresBackend | FileBackend":
    """The store's side in this process. Each imports what the other, and a front with a keeper, has no use for."""
    if config.database():
        from holdfast.keeper.postgres_backend import PostgresBackend  # noqa: PLC0415

        reading = inbox.reading(config.max_payload_bytes)
        return (
            telemetry.local_backend(PostgresBackend, config, on_lost, reading)
            if telemetry
            else PostgresBackend(config, on_lost, reading)
        )
    from holdfast.keeper.file_backend import FileBackend, opened  # noqa: PLC0415

    store, plan = await opened(config), _backup_plan(config)
    return (
        telemetry.local_backend(FileBackend, config, store, on_lost, plan)
        if telemetry
        else FileBackend(config, store, on_lost, plan)
    )


def start_keeper(config: Config, sockets: list[socket.socket]) -> "subprocess.Popen[bytes]":
    """The process that owns the store, with one end of a socket pair for each front."""
    path = config.store_path()
    given = KeeperConfig(
        path=str(path) if path is not None else None,
        defaults=config.policy(),
        watermark_bytes=config.disk_watermark_bytes,
        worker_silence_ms=config.worker_silence_ms,
        audit_ms=config.audit_retention_ms(),
        backups=_backup_plan(config),
        fds=[end.fileno() for end in sockets],
        log_level=config.log_level,
        log_format=config.log_format,
    )
    command = [sys.executable, "-P", "-m", "holdfast.keeper.main", msgspec.json.encode(given).decode()]
    return subprocess.Popen(command, pass_fds=given.fds, stdin=subprocess.DEVNULL)  # noqa: S603  (our own module)


def _backup_plan(config: Config) -> BackupPlan | None:
    if not config.backup_to:
        return None
    return BackupPlan(config.backup_to, config.backup_every_ms(), config.backup_keep, config.disk_watermark_bytes)
