"""Access keys in a store itself, without the API: whoever can write to the store can create keys in it.

A file that no server uses is opened as a server would open it. If a server uses it, the change is written beside the server
(`stores/sqlite/beside.py`), and in PostgreSQL beside its nodes; servers notice it within a second.
"""

import asyncio
import contextlib
import getpass
import logging
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import apsw
from msgspec.structs import replace

from holdfast.auth.actor import Actor
from holdfast.auth.keys import Key
from holdfast.client.key_types import AccessKey
from holdfast.committer.batch import Batch
from holdfast.committer.committer import decide
from holdfast.config import Config, store_outside
from holdfast.errors import BY_CODE, InternalError, InvalidRequest
from holdfast.logs import structlog
from holdfast.messages.audit import Managed
from holdfast.messages.frame import A, Answer, Command, Refused
from holdfast.messages.key_commands import CreateKey, ListKeys
from holdfast.setting_values import ConfigError
from holdfast.stores.sqlite.beside import keys_beside, transaction_beside
from holdfast.stores.sqlite.files import UnfitPlace, check_regular
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.store import Store, Transaction


def ask(store: str, command: Command[A]) -> A:
    """Run a command on a store; its answer. Raises `HoldfastError`."""
    _log_to_stderr()
    if isinstance(command, Managed):
        command = replace(command, actor=Actor(_user(), "", "shell"))
    with _refusing(store):
        return asyncio.run(_decided(store, command))  # type: ignore[return-value]  # a command's own answer


def listed(store: str) -> list[Key]:
    """All keys of a store."""
    _log_to_stderr()
    with _refusing(store):
        return asyncio.run(_listed(store))


@contextlib.contextmanager
def _refusing(store: str) -> Iterator[None]:
    """Say of a file that can't be opened as a store what is wrong with it."""
    try:
        yield
    except UnfitPlace as error:
        raise InvalidRequest(str(error), field="store") from None
    except (apsw.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidRequest(f"{_named(store).store_path()} can't be opened: {reason}.", field="store") from None


def _user() -> str:
    """The user who runs the shell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"uid {os.getuid()}"


def _log_to_stderr() -> None:
    """Log lines of the store must not mix with the output, which may be a secret that a script reads."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def shown(key: Key, secret: str | None = None) -> AccessKey:
    """A key as the client shows it."""
    return AccessKey(
        id=key.id,
        name=key.name,
        abilities=[ability.value for ability in key.abilities],
        queues=list(key.queues),
        sees_payloads=key.sees_payloads,
        note=key.note,
        created_at=_moment(key.created_at),
        expires_at=None if key.expires_at is None else _moment(key.expires_at),
        used_at=None if key.used_at is None else _moment(key.used_at),
        old_until=None if key.old_until is None else _moment(key.old_until),
        requests_per_s=key.requests_per_s,
        parked=key.parked,
        secret=secret,
    )


async def _decided(place: str, command: Command[Answer]) -> Answer:
    config = _named(place)
    path = config.store_path()
    if path is not None:
        _there(path, may_be_new=isinstance(command, CreateKey))
        try:
            store: Store = SqliteStore(path, config.policy())
        except UnfitPlace:
            if not path.exists():
                raise
            with transaction_beside(path) as tx:
                return await _answer(tx, command, _now())
    else:
        store = _database(config)
    try:
        async with store.transaction() as tx:
            answer = await _answer(tx, command, _now())
            await tx.commit()
            return answer
    finally:
        await store.close()


async def _answer(tx: Transaction, command: Command[Answer], now: int) -> Answer:
    batch = Batch(tx, now)
    (answer,) = await decide(batch, [command])
    if isinstance(answer, Refused):
        raise BY_CODE.get(answer.code, InternalError)(answer.detail, **answer.fields)  # this rolls the transaction back
    await batch.finish()  # writes the entry of the audit log
    return answer


async def _listed(place: str) -> list[Key]:
    config = _named(place)
    path = config.store_path()
    if path is None:
        store: Store = _database(config)
        try:
            return (await store.read(ListKeys(), _now())).keys or []
        finally:
            await store.close()
    _there(path)
    return keys_beside(path)


def _there(path: Path, may_be_new: bool = False) -> None:
    """Refuse a path at which there is no file, but for what may create one, and what is no file."""
    check_regular(path)
    if not (may_be_new or path.exists()):
        raise InvalidRequest(f"There is no store at {path}.", field="store")


def _named(place: str) -> Config:
    try:
        return store_outside(place)
    except ConfigError as error:
        raise InvalidRequest(str(error), field="store") from None


def _database(config: Config) -> Store:
    """The store in PostgreSQL."""
    from holdfast.stores.postgres.store import PostgresStore  # noqa: PLC0415  (its driver is slow to import)

    return PostgresStore(config.store, config.policy())


def _now() -> int:
    return time.time_ns() // 1_000_000


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
