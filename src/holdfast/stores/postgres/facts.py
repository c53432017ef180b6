"""What is read of a PostgreSQL server, so that it can be judged: by `examine.py` for `doctor.py`."""

from collections.abc import Mapping
from dataclasses import dataclass

WEAK = ("off", "local", "remote_write")  # of synchronous_commit: none of them waits until a standby has flushed
_OFF = ("false", "no", "0")
_ON = ("on", "true", "yes", "1")  # other ways to write it; what a role or a database sets is kept as it was written
SETTINGS = (
    "autovacuum",
    "data_checksums",
    "data_sync_retry",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "max_slot_wal_keep_size",
    "synchronous_commit",
    "synchronous_standby_names",
    "wal_level",
)
"""The settings that are read."""
OVERRIDES = ("default_transaction_read_only", "synchronous_commit")
"""Those of which it is read who changes them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and its source, as `pg_settings` names it."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Override:
    """A setting overridden for a role or a database; None stands for all roles, or all databases."""

    role: str | None
    database: str | None
    name: str
    value: str

    @property
    def weak(self) -> bool:
        """Whether commits under it don't wait until a standby has flushed."""
        return self.name == "synchronous_commit" and self.value.lower() in (*WEAK, *_OFF)

    @property
    def read_only(self) -> bool:
        """Whether transactions under it write nothing, unless they ask to."""
        return self.name == "default_transaction_read_only" and self.value.lower() in _ON

    @property
    def whose(self) -> str:
        """In words, as ALTER takes it."""
        role = f"ROLE {self.role}" if self.role else "ROLE ALL"
        if self.database is None:
            return role
        return f"{role} IN DATABASE {self.database}" if self.role else f"DATABASE {self.database}"


@dataclass(frozen=True, slots=True)
class Standby:
    """Whoever streams, as `pg_stat_replication` shows it."""

    name: str
    state: str
    sync_state: str
    replays: bool = True

    @property
    def in_sync(self) -> bool:
        """Whether commits wait for it, alone or with others, and it is a standby: who only collects WAL can't be promoted."""
        return self.state == "streaming" and self.sync_state in ("sync", "quorum") and self.replays


@dataclass(frozen=True, slots=True)
class Other:
    """Another server that the URL names and that follows the primary: where it is, and its own settings."""

    address: str
    settings: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What keeps dead rows from being removed: for how many transactions and, if known, for how many seconds."""

    who: str
    age: int | None
    seconds: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """A queue whose row a transaction holds: the holder, its process id (None: a prepared transaction), and for how many
    seconds.
    """

    name: str
    who: str
    pid: int | None
    seconds: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts that are evaluated."""

    version: int
    role: str
    database: str
    encoding: str
    in_recovery: bool
    pooled: bool
    sees_standbys: bool
    settings: Mapping[str, Setting]
    overrides: tuple[Override, ...]
    standbys: tuple[Standby, ...]
    slots: int
    snapshots: tuple[Snapshot, ...]
    others: tuple[Other, ...] = ()
    silent: tuple[str, ...] = ()
    patroni: bool = False
    held: tuple[Held, ...] = ()
    makes_schema: bool = True
    unseen: tuple[str, ...] = ()

    def setting(self, name: str) -> str:
        """A setting's value; empty if it is not known."""
        return self.settings[name].value if name in self.settings else ""
