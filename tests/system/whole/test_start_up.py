"""Starting: what the first lines say, and every reason not to start, each told in one line with exit code 1."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import __version__
from tests.system.whole.calls import lease, push
from tests.system.whole.machine import need, small_disk
from tests.system.whole.network_disk import network_mount
from tests.system.whole.servers import Server, until

pytestmark = [pytest.mark.long(25), pytest.mark.fresh]


def refusal(server: Server) -> str:
    """What a server that can't start says: one line, exit 1, nothing left running."""
    server.launch()
    assert server.ended() == 1, server.err.text
    server.gone()
    assert server.out.lines == [], "it must not say that it serves"
    assert len(server.err.lines) == 1, server.err.text
    assert server.err.lines[0].startswith("holdfast: ")
    return server.err.lines[0]


# What is said


def test_the_first_lines_say_where_it_is_and_how_jobs_are_kept(serve, home):
    server = serve("--store", f"sqlite:///{home}/here/my.db")
    assert server.first_lines[0].startswith(f"Holdfast {__version__} on http://127.0.0.1:{server.port} ")
    assert server.first_lines[1] == f"Jobs are kept on disk in {home}/here/my.db: an answer means that it is fsynced"
    with server.client() as client:
        assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
        assert push(client, "q", 1)["durability"] == {"level": "disk", "replicas": 0}


def test_without_options_jobs_are_kept_under_the_working_directory_readable_by_their_owner_only(serve, home):
    server = serve()
    store = home / "holdfast-data/jobs.db"
    assert str(store) in server.first_lines[1]
    with server.client() as client:
        push(client, "q", 1)
    assert {entry.stat().st_mode & 0o777 for entry in store.parent.iterdir()} == {0o600}


def test_a_store_in_memory_says_on_its_start_and_in_every_answer_that_it_keeps_nothing(serve, home):
    server = serve("--store", "memory")
    assert server.first_lines[1] == "Jobs are kept in memory only: they are gone when the server ends"
    with server.client() as client:
        assert push(client, "q", 1)["durability"] == {"level": "memory", "replicas": 0}
    assert list(home.iterdir()) == []


def test_a_store_on_a_memory_file_system_does_not_claim_to_be_on_disk(serve, tmp_path):
    with small_disk(tmp_path / "disk", 64 << 20, "tmpfs") as disk:
        server = serve("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", "0")
        assert server.first_lines[1] == f"Jobs are kept in {disk}/jobs.db, which is on a memory file system"
        with server.client() as client:
            assert push(client, "q", 1)["durability"] == {"level": "memory", "replicas": 0}
        server.destroy()


def test_a_path_prefix_is_part_of_the_url_that_is_told(serve):
    server = serve("--root-path", "/jobs")
    assert f"http://127.0.0.1:{server.port}/jobs " in server.first_lines[0]


def test_it_listens_on_ipv6_when_told_to(serve):
    server = serve("--host", "::1")
    assert server.url == f"http://[::1]:{server.port}"
    with server.client() as client:
        assert client.get("/readyz").status_code == 200


def test_what_was_kept_is_there_after_a_start_on_the_same_store(serve, home):
    first = serve()
    with first.client() as client:
        put = push(client, "q", {"n": 1})
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    first.gone()
    with serve().client() as client:
        (job,) = lease(client, "q")
        assert (job["id"], job["payload"]) == (put["id"], {"n": 1})


# Why not


def test_a_port_in_use_is_named_and_no_store_is_touched(serving, home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(serving("--port", str(port)))
    assert said == f"holdfast: can't listen on 127.0.0.1:{port}: Address already in use."
    assert list(home.iterdir()) == []


def test_an_address_of_another_machine_is_named(serving):
    assert "can't listen on 192.0.2.1:" in refusal(serving("--host", "192.0.2.1", "--insecure"))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--host", "0.0.0.0"], "host 0.0.0.0"),
        (["--host", "::"], "host ::"),
        (["--host", "192.0.2.1"], "host 192.0.2.1"),
        (["--beanstalk", "0.0.0.0:0"], "beanstalk 0.0.0.0"),
        (["--host", "::", "--beanstalk", "[::]:0"], "host :: and beanstalk ::"),
    ],
)
def test_without_keys_it_serves_loopback_only_and_names_the_two_ways_out(serving, home, flags, named):
    server = serving(*flags).launch()
    assert server.ended() == 2
    assert server.err.text == (
        f"holdfast: {named} would be in reach of other machines, and there is no access key: whoever reaches it could do everything. "
        "Create a key (`holdfast key create`), name a file with the secret of the first one (HOLDFAST_ADMIN_KEY_FILE), or say that this is meant (`--insecure`)."
    )
    assert list(home.iterdir()) == []


def key(command: str, store: str, *options: str) -> str:
    """What `holdfast key` prints."""
    asked = [sys.executable, "-m", "holdfast", "key", command, *options, "--store", store]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_with_a_key_it_serves_other_addresses_and_needs_one_to_the_end(serving, home):
    """Also when its last key is revoked: that opens nothing."""
    store = f"sqlite:///{home / 'jobs.db'}"
    secret = key("create", store, "--name", "root", "--can", "admin")
    server = serving("--host", "0.0.0.0", "--store", store).start()
    with server.client() as client:
        as_root = {"authorization": f"Bearer {secret}"}
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/queues").status_code == 401
        assert client.get("/v1/queues", headers=as_root).status_code == 200
        key("revoke", store, "root", "--yes")
        until(lambda: client.get("/v1/queues", headers=as_root).status_code == 401, "the key is revoked")
        assert client.get("/v1/queues").status_code == 401
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    assert serving("--host", "0.0.0.0", "--store", store).launch().ended() == 2


def test_a_host_name_that_nobody_knows_is_named(serving):
    assert "can't listen on no-such-host.invalid:" in refusal(serving("--host", "no-such-host.invalid"))


def test_a_store_in_use_names_the_process_that_uses_it_and_leaves_it_alone(serve, serving, home):
    first = serve()
    said = refusal(serving())
    assert f"{home}/holdfast-data/jobs.db is in use by another server (process {first.keeper})." in said
    with first.client() as client:
        push(client, "q", 1)


def test_a_store_in_use_is_in_use_behind_a_link_too(serve, serving, home):
    first = serve()
    (home / "link.db").symlink_to(home / "holdfast-data/jobs.db")
    said = refusal(serving("--store", f"sqlite:///{home}/link.db"))
    assert f"{home}/holdfast-data/jobs.db is in use by another server (process {first.keeper})." in said
    assert not (home / "link.db.lock").exists()
    with first.client() as client:
        push(client, "q", 1)


def test_a_sqlite_file_of_another_program_is_refused_and_not_changed(serving, home):
    home.mkdir()
    path = home / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
        other.execute("INSERT INTO recipes VALUES ('soup')")
    other.close()
    before = path.read_bytes()
    assert "a SQLite file of another program" in refusal(serving("--store", f"sqlite:///{path}"))
    assert path.read_bytes() == before
    assert {entry.name for entry in home.iterdir()} <= {"other.db", "other.db.lock"}, "nothing is left beside it"


def test_a_file_that_is_no_database_is_refused_and_not_changed(serving, home):
    home.mkdir()
    path = home / "notes.txt"
    path.write_text("buy milk\n" * 100)
    assert "can't be opened" in refusal(serving("--store", f"sqlite:///{path}"))
    assert path.read_text() == "buy milk\n" * 100


def test_a_store_of_a_newer_version_is_refused(serve, serving, home):
    first = serve()
    first.send(signal.SIGTERM)
    first.gone()
    with sqlite3.connect(home / "holdfast-data/jobs.db") as store:
        store.execute("PRAGMA user_version = 999")
    store.close()
    assert "has schema 999" in refusal(serving())


def test_a_store_under_something_that_is_no_folder_is_refused_by_its_path(serving, home):
    home.mkdir()
    (home / "file").write_text("")
    assert f"{home}/file" in refusal(serving("--store", f"sqlite:///{home}/file/jobs.db"))


def test_a_folder_in_the_place_of_the_store_is_refused(serving, home):
    (home / "jobs.db").mkdir(parents=True)
    assert "jobs.db is a directory, and a store is a file" in refusal(serving("--store", f"sqlite:///{home}/jobs.db"))


def test_a_network_file_system_is_refused_and_nothing_is_made_there(serving, tmp_path):
    with network_mount(tmp_path / "far") as far:
        said = refusal(serving("--store", f"sqlite:///{far}/jobs.db"))
    assert f"{far} is on a network file system (fuse.sshfs)" in said
    assert "Use a local disk" in said


def test_a_store_that_may_not_be_read_is_refused(serving, home):
    need("setpriv")
    home.mkdir()
    (home / "jobs.db").touch(mode=0)
    as_anybody = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    said = refusal(serving("--store", f"sqlite:///{home}/jobs.db", wrapper=as_anybody))
    assert "can't be opened" in said
    assert f"{home}/jobs.db" in said


def test_every_front_ends_when_the_store_can_t_be_opened(serving, home):
    (home / "jobs.db").mkdir(parents=True)
    assert "jobs.db is a directory, and a store is a file" in refusal(
        serving("--store", f"sqlite:///{home}/jobs.db", "--fronts", "2")
    )


# Interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_leaves_nothing_running_and_no_traceback(serving, number):
    server = serving().launch()
    server.watch(server.wait_for_keeper())
    os.killpg(server.pid, number)
    assert server.ended() == 0, "it is an orderly end, since nobody was served yet"
    server.gone()
    assert "Traceback" not in server.err.text


def test_a_store_path_is_taken_as_it_was_when_it_was_started(serve, home):
    server = serve("--store", "sqlite:///relative/jobs.db")
    assert str(Path(home, "relative/jobs.db")) in server.first_lines[1]
    assert (home / "relative/jobs.db").exists()
