"""The store's file is removed, moved or exchanged under a running server: an answer that says "kept" is then never given."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from holdfast.stores.sqlite import copies, maintenance
from tests.system.whole.calls import push
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.machine import small_disk, tool_path
from tests.system.whole.servers import Server
from torture.faults.disk import shut_down

pytestmark = pytest.mark.long(30)

NOTICED_S = 5.0  # a second, and the time that a crowded machine takes to end three processes


def _removed(suffix: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        store.with_name(store.name + suffix).unlink()

    damage.__name__ = f"removed{suffix or '-file'}"
    return damage


def _moved(suffix: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        part = store.with_name(store.name + suffix)
        part.rename(part.with_name("elsewhere"))

    damage.__name__ = f"moved{suffix or '-file'}"
    return damage


def _exchanged(suffix: str) -> Callable[[Path], None]:
    """As an editor, `cp --remove-destination` or a restore does it: a new file of the same content, under the same name."""

    def damage(store: Path) -> None:
        part = store.with_name(store.name + suffix)
        copy = part.with_name("copy")
        shutil.copy2(part, copy)
        copy.rename(part)

    damage.__name__ = f"exchanged{suffix or '-file'}"
    return damage


def folder_removed(store: Path) -> None:
    """`rm -r` of all of it."""
    shutil.rmtree(store.parent)


def folder_moved(store: Path) -> None:
    """`mv` of all of it."""
    store.parent.rename(store.parent.with_name("elsewhere"))


def folder_moved_and_made_anew(store: Path) -> None:
    """`mv`, and another folder in its place."""
    folder_moved(store)
    store.parent.mkdir()


def link_turned(store: Path) -> None:
    """The folder is put behind a link to another one."""
    folder_moved(store)
    other = store.parent.with_name("other")
    other.mkdir()
    store.parent.symlink_to(other)


DAMAGES = [
    *(way(suffix) for way in (_removed, _moved, _exchanged) for suffix in ("", "-wal", "-shm")),
    folder_removed,
    folder_moved,
    folder_moved_and_made_anew,
    link_turned,
]


def become_read_only(disk: Path) -> None:
    """What ext4 does when it finds itself damaged; the kernel lets it be tried."""
    subprocess.run([tool_path("mount"), "-o", "remount,errors=remount-ro", disk], capture_output=True, check=True)
    source = next(line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(disk))
    assert source.startswith("/dev/loop")
    Path(f"/sys/fs/ext4/{source.removeprefix('/dev/')}/trigger_fs_error").write_text("a test")
    with pytest.raises(OSError, match="Read-only"):
        (disk / "probe").touch()


def ends_by_itself(server: Server) -> None:
    """It exits with 1 soon, without being asked, and says which file it was."""
    since = time.monotonic()
    assert server.ended() == 1
    assert time.monotonic() - since < NOTICED_S
    server.gone()
    assert "removed, moved or exchanged while it was in use" in server.err.text


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_server_whose_file_is_gone_notices_it_without_any_call(serve, home, damage):
    server = serve()
    with server.client() as client:
        push(client, "q", 1)
    damage(home / "holdfast-data/jobs.db")
    ends_by_itself(server)


@pytest.mark.parametrize(
    "damage", [one for one in DAMAGES if not one.__name__.endswith("-shm")], ids=lambda damage: damage.__name__
)
def test_nothing_is_acknowledged_into_a_file_that_is_not_the_store_s_any_more(serve, home, damage):
    server = serve()
    with server.client() as client:
        push(client, "q", 1)
        damage(home / "holdfast-data/jobs.db")
        try:
            answer = client.post("/v1/queues/q/jobs", json={"payload": 2})
        except httpx.TransportError:
            pass  # it has ended already
        else:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] in ("outcome_unknown", "store_unavailable", "draining")
    ends_by_itself(server)


def test_what_was_acknowledged_before_is_where_the_folder_was_moved_to(serve, serving, home):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=100)
    (home / "holdfast-data").rename(home / "moved")
    ends_by_itself(server)
    acknowledged = load.stop()
    assert maintenance.check(home / "moved/jobs.db") == []
    with serve("--store", f"sqlite:///{home}/moved/jobs.db").client() as client:
        everything_is_there(client, acknowledged)


def test_a_second_server_in_the_same_place_has_it_to_itself(serve, home):
    first = serve()
    (home / "holdfast-data").rename(home / "moved")
    second = serve()
    ends_by_itself(first)
    with second.client() as client:
        assert client.get("/v1/queues").json()["queues"] == []
        push(client, "q", 1)


def test_a_lock_that_was_removed_lets_no_second_server_in(serve, serving, home):
    first = serve()
    (home / "holdfast-data/jobs.db.lock").unlink()
    second = serving().launch()
    assert second.ended() == 1
    assert "in use by another server" in second.err.text
    with first.client() as client:
        push(client, "q", 1)


def test_a_file_system_that_becomes_read_only_ends_the_server_though_nobody_writes(serve, tmp_path):
    with small_disk(tmp_path / "disk", 32 << 20, "ext4") as disk:
        server = serve("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", "0")
        with server.client() as client:
            push(client, "q", 1)
        become_read_only(disk)
        assert server.ended() == 1
        assert "read-only" in server.err.text
        server.gone()


def test_a_disk_that_dies_ends_the_server_though_nobody_writes(serve, tmp_path):
    with small_disk(tmp_path / "disk", 32 << 20, "ext4") as disk:
        server = serve("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", "0")
        with server.client() as client:
            push(client, "q", 1)
        shut_down(disk)
        assert server.ended() == 1
        assert "the disk of" in server.err.text
        server.gone()


def test_a_file_that_is_only_copied_or_touched_is_no_reason_to_end(serve, home):
    server = serve()
    store = home / "holdfast-data/jobs.db"
    with server.client() as client:
        push(client, "q", 1)
        shutil.copy2(store, store.with_name("copy.db"))
        os.utime(store)
        store.chmod(0o640)
        os.link(store, store.with_name("hard.db"))
        (store.parent / "jobs.db.part").touch()
        maintenance.check(store)
        copies.backup(store, store.with_name("backup.db"))
        for _ in range(3):
            assert client.get("/readyz").status_code == 200
        push(client, "q", 2)
    server.send(signal.SIGTERM)
    assert server.ended() == 0
