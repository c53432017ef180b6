"""What this version would do to a store file, found beside a server that uses it. Nothing is changed."""

from contextlib import suppress
from pathlib import Path

import apsw

from holdfast import __version__
from holdfast.stores.sqlite.connect import made_by as maker_of
from holdfast.stores.sqlite.connect import migrations, room_of, too_new
from holdfast.stores.sqlite.files import UnfitPlace, free_bytes
from holdfast.stores.sqlite.maintenance import open_any
from holdfast.stores.steps import Step
from holdfast.stores.upgrade import UpgradePlan, planned

_ROW_S = 10e-6
"""Of one row that is written anew, the checkpoint included: see docs/upgrading.md."""


def plan(path: Path) -> UpgradePlan:
    """What would be done; raises `UnfitPlace` where there is no store that can be read."""
    connection = open_any(path)
    try:
        connection.execute("BEGIN")
        return _planned(path, connection)
    except apsw.Error as error:
        raise UnfitPlace(f"{path} can't be read: {error}") from None
    finally:
        connection.close()


def _planned(path: Path, connection: apsw.Connection) -> UpgradePlan:
    version = connection.pragma("user_version")
    due = [Step(number, script, "step") for number, script in migrations() if number > version]
    found = UpgradePlan(
        store=str(path), schema=version, made_by=maker_of(connection), holdfast=__version__, newest=migrations()[-1][0]
    )
    if version > found.newest:
        found.obstacles.append(too_new(connection, version))
        with suppress(apsw.Error):  # as far as this version can tell
            found.jobs = connection.execute("SELECT count(*) FROM job").get
        return found
    found.jobs = connection.execute("SELECT count(*) FROM job").get
    if not due:
        return found
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for step in due:
        counts = [connection.execute(f"SELECT count(*) FROM {table}").get for table in step.rewrites if table in there]  # noqa: S608  (names of our own)
        found.steps.append(planned(step, sum(counts), _ROW_S, "stop"))
    found.seconds = round(sum(step.seconds for step in found.steps), 1)
    found.room_bytes, found.free_bytes = room_of(connection, due), free_bytes(path.parent)
    if found.free_bytes < found.room_bytes:
        found.obstacles.append(f"The disk has {found.free_bytes} bytes free, and {found.room_bytes} are needed.")
    return found
