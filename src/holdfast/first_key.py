"""Access keys at the start of a server: whether any exist, and the key `admin` with its secret from a file."""

import asyncio
import time
from pathlib import Path

from holdfast.auth.keys import read_secret
from holdfast.config import Config
from holdfast.engine.engine import Engine
from holdfast.errors import HoldfastError, InvalidRequest, Unavailable
from holdfast.logs import structlog
from holdfast.messages.key_commands import ListKeys

log = structlog.get_logger(__name__)
_AGAIN_S = 1.0
_LOOK_S = 5.0  # for the keys in a database, at the start


def has_keys(config: Config) -> bool:
    """Whether there is an access key, or will be one at the start. True if that is not known yet: requests are refused until it
    is.
    """
    if config.admin_key_file:
        return True
    if config.database():
        return asyncio.run(_has_keys_in_database(config))
    path = config.store_path()
    return path is not None and _has_keys_in_file(path)


def _has_keys_in_file(path: Path) -> bool:
    import apsw  # noqa: PLC0415  (a front has no other use for the store's side, which takes a third of its start to import)

    from holdfast.stores.sqlite.beside import keys_beside  # noqa: PLC0415
    from holdfast.stores.sqlite.files import UnfitPlace  # noqa: PLC0415

    try:
        return path.exists() and bool(keys_beside(path))
    except (apsw.Error, OSError, UnfitPlace):
        return True  # the server reports what is wrong when it opens the file


async def _has_keys_in_database(config: Config) -> bool:
    from holdfast.stores.postgres.store import PostgresStore  # noqa: PLC0415  (its driver is slow to import)

    store = PostgresStore(config.store, config.policy())
    try:
        async with asyncio.timeout(_LOOK_S):
            return bool((await store.read(ListKeys(), time.time_ns() // 1_000_000)).keys)
    except (TimeoutError, HoldfastError):
        return True  # the server may start before its database; it refuses requests until the database answers
    finally:
        await store.close()


def _admin_secret(file: str) -> str:
    """The secret in a file; raises `InvalidRequest` if it is not usable."""
    try:
        return read_secret(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"It can't be read: {getattr(error, 'strerror', None) or 'it is not text'}.") from None


async def keep_admin_key(engine: Engine, file: str) -> str | None:
    """Give the key `admin` the secret in a file, before requests are accepted. Returns why that is not possible, or None."""
    while True:
        try:
            await engine.keys.ensure_admin(_admin_secret(file))
        except Unavailable as error:  # such as a database that has not started yet
            log.warning("the admin key can't be written yet; trying again", reason=error.detail)
            await asyncio.sleep(_AGAIN_S)
        except HoldfastError as error:
            return f"The admin key file {file} is not usable. {error.detail}"
        else:
            return None
