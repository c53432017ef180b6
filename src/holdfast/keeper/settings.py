"""What the server tells its keeper when it starts it. A front imports this, and nothing else of the store's side."""

import msgspec

from holdfast.job.queue import QueuePolicy


class BackupPlan(msgspec.Struct, frozen=True):
    """Where to, how often, and how many are kept. On the store's own disk `spare_bytes` stay free."""

    folder: str
    every_ms: int
    keep: int
    spare_bytes: int


class KeeperConfig(msgspec.Struct, frozen=True):
    """The server's settings for its keeper. `path` None: keep jobs in memory; `fds` are the fronts' sockets."""

    path: str | None
    defaults: QueuePolicy
    watermark_bytes: int
    worker_silence_ms: int
    audit_ms: int
    backups: BackupPlan | None
    fds: list[int]
    log_level: str
    log_format: str
