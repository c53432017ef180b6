"""The store's side in the server's own process, where it ends."""

import asyncio

from holdfast.config import Config
from holdfast.keeper.file_backend import FileBackend, opened
from holdfast.messages.commands import RegisterWorker


async def test_a_store_that_breaks_while_the_server_ends_is_left_as_it_is(tmp_path):
    """It must not end as if all was well, nor bring into the file what may be lost."""
    problems: list[str] = []
    config = Config(store=f"sqlite:///{tmp_path}/jobs.db")
    backend = FileBackend(config, await opened(config), problems.append, None)
    await backend.connect()
    asking = backend.submit(RegisterWorker("w-1", "w", ("q",)))
    (tmp_path / "jobs.db").rename(tmp_path / "moved.db")
    await asyncio.wait_for(backend.close(), 20)
    assert (await asking).code == "outcome_unknown"
    assert backend.abandoned
    (problem,) = problems
    assert "The store failed" in problem
    assert (tmp_path / "jobs.db-wal").exists(), "closing the file would have removed its log"


async def test_one_who_leaves_while_the_store_is_opened_leaves_it_closed(tmp_path):
    config = Config(store=f"sqlite:///{tmp_path}/jobs.db")
    opening = asyncio.create_task(opened(config))
    await asyncio.sleep(0)  # it has begun
    opening.cancel()
    await asyncio.wait({opening}, timeout=20)
    assert opening.cancelled()
    assert not (tmp_path / "jobs.db-wal").exists()
    await (await opened(config)).close()  # nobody else holds it
