"""Only a standby counts for the promise: whoever collects WAL under a standby's name, and could never take over, does not."""

import subprocess
from contextlib import contextmanager

import pytest

from cluster.processes import give, kill_tree, unprivileged, wait_until
from holdfast.messages.answers import Enqueued
from holdfast.messages.frame import Refused
from holdfast.stores.postgres.examine import examine

pytestmark = pytest.mark.long(25)

COLLECTORS = {
    "a base backup that is being taken": (
        "pg_basebackup",
        "--pgdata",
        ["--wal-method=stream", "--checkpoint=fast", "--max-rate=32"],
    ),
    "a collector of WAL": ("pg_receivewal", "--directory", ["--synchronous", "--slot=collected"]),
}
SEEN = "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = 'n2' AND state = 'streaming'"
ANYBODY = "SELECT pid FROM pg_stat_replication"


@contextmanager
def collecting(group, kind, folder):
    """Something that streams under the name of n2 while both standbys are away."""
    name, where, options = COLLECTORS[kind]
    for one in group.standbys:
        one.kill()
    into = folder / "collected"
    into.mkdir()
    give(into)
    origin = f"host=127.0.0.1 port={group.primary.port} user=replicator application_name=n2"
    group.primary.sql("SELECT pg_create_physical_replication_slot('collected')")
    program = group.primary.programs[name]
    command = [*unprivileged(group.primary.programs.folder, into), program, f"--dbname={origin}", f"{where}={into}"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: group.primary.sql(SEEN) or process.poll() is not None, 20, "nothing streams")
        assert process.poll() is None, process.stderr.read()
        yield
    finally:
        kill_tree(process.pid)
        process.wait()
        process.stderr.close()
        wait_until(lambda: not group.primary.sql(ANYBODY), 20, "it still streams")
        group.primary.sql("SELECT pg_drop_replication_slot('collected')")
        for one in group.lost:
            one.start()
        group.wait_streaming()


@pytest.mark.parametrize("kind", COLLECTORS)
async def test_a_collector_under_a_standbys_name_is_no_standby(group, node, tmp_path_factory, kind):
    one = node(1)
    assert isinstance(await one.put(), Enqueued)
    with collecting(group, kind, tmp_path_factory.mktemp("collectors")):
        assert group.primary.sql(SEEN) == [("streaming", "quorum")]  # PostgreSQL takes it for one
        put = await one.put()
        assert isinstance(put, Refused), put
        assert put.code == "not_replicated"
        await one.store.tend()
        assert one.store.health().replication.in_sync == 0
        facts = await examine(group.url)
        assert not any(standby.in_sync for standby in facts.standbys)
