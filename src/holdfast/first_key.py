"""The first access key, at the start of a server: whether there is one, and the one whose secret is in a file."""

import asyncio
import time
from pathlib import Path

import apsw
import structlog

from holdfast.auth.keys import read_secret
from holdfast.config import Config
from holdfast.engine.engine import Engine
from holdfast.errors import HoldfastError, InvalidRequest, Unavailable
from holdfast.messages.key_commands import ListKeys
from holdfast.stores.sqlite.beside import keys_beside
from holdfast.stores.sqlite.files import UnfitPlace

log = structlog.get_logger(__name__)
_AGAIN_S = 1.0
_LOOK_S = 5.0  # at a database, at the start


def has_keys(config: Config) -> bool:
    """Whether there is an access key, or will be one at the start. Where that can't be told yet there may be: nobody is let in before it is known."""
    if config.admin_key_file:
        return True
    if config.database():
        return asyncio.run(_has_keys_in_database(config))
    path = config.store_path()
    try:
        return path is not None and path.exists() and bool(keys_beside(path))
    except (apsw.Error, OSError, UnfitPlace):
        return True  # what is wrong with the file is told when it is opened


async def _has_keys_in_database(config: Config) -> bool:
    from holdfast.stores.postgres.store import PostgresStore  # noqa: PLC0415  (its driver takes its time)

    store = PostgresStore(config.store, config.policy())
    try:
        async with asyncio.timeout(_LOOK_S):
            return bool((await store.read(ListKeys(), time.time_ns() // 1_000_000)).keys)
    except (TimeoutError, HoldfastError):
        return True  # it starts before its database, and lets nobody in before that can be asked
    finally:
        await store.close()


def _admin_secret(file: str) -> str:
    """The secret in a file; raises `InvalidRequest` for one that is not usable."""
    try:
        return read_secret(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"It can't be read: {getattr(error, 'strerror', None) or 'it is no text'}.") from None


async def keep_admin_key(engine: Engine, file: str) -> str | None:
    """Have the secret in a file be that of the key `admin`, before anybody is let in; why that can't be."""
    while True:
        try:
            await engine.keys.ensure_admin(_admin_secret(file))
        except Unavailable as error:  # such as a database that is not there yet
            log.warning("the admin key can't be written yet; trying on", reason=error.detail)
            await asyncio.sleep(_AGAIN_S)
        except HoldfastError as error:
            return f"The admin key file {file} is not usable. {error.detail}"
        else:
            return None
