"""What the client tells of registered workers."""

from datetime import datetime

import msgspec


class Work(msgspec.Struct):
    """A leased job."""

    id: int
    queue: str
    attempt: int
    leased_at: datetime
    ms_left: int


class RegisteredWorker(msgspec.Struct, kw_only=True):
    """A registered worker. `state`: `running`, `quiet` or `stopping`; `silent`: no heartbeat for a minute; `types`: all that it takes, or None. `host`,
    `pid` and `version` are those of its process, as it told them.
    """

    id: str
    name: str
    queues: list[str]
    state: str
    registered_at: datetime
    types: list[str] | None = None
    host: str = ""
    pid: int | None = None
    version: str = ""
    draining: bool = False
    beat_at: datetime | None = None
    silent: bool = False
    jobs: list[Work] = []


class RegisteredWorkers(msgspec.Struct):
    """A page of registered workers."""

    workers: list[RegisteredWorker]
    next_cursor: str | None = None
