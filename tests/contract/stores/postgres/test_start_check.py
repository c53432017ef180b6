"""A server that promises standbys does not serve a database whose settings would break the promise, and says what to mend."""

import asyncio
import json
from contextlib import contextmanager

import pytest

from cluster.postgres import server as postgres
from cluster.processes import wait_until
from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.start_check import refusal
from tests.system.whole.servers import Server

pytestmark = pytest.mark.long(30)


@pytest.fixture
def starting(tmp_path):
    """Starts servers without waiting for anything; none outlives the test."""
    made = []

    def start(url, *options):
        made.append(Server(tmp_path / f"home{len(made)}", "--store", url, *options).launch())
        return made[-1]

    yield start
    for one in made:
        one.destroy()


@contextmanager
def configured(group, **settings):
    group.primary.configure(**settings)
    try:
        yield
    finally:
        group.primary.configure(fsync="on")
        group.require(1)


def refused(url, replicas=1, standbys=(), require_sound=True):
    return asyncio.run(refusal(url, replicas, standbys, require_sound))


def test_it_names_everything_that_stops_it_and_how_to_mend_each_and_ends_with_1(group, starting):
    with configured(group, synchronous_standby_names="", fsync="off"):
        server = starting(group.url, "--replicas", "1")
        assert server.ended() == 1
    assert server.out.lines == []
    said = server.err.text
    for text in (
        "names_empty:",
        "Fix: Set synchronous_standby_names to 'ANY 1",
        "fsync_off:",
        "Fix: ALTER SYSTEM SET fsync = on",
    ):
        assert text in said
    assert "--no-require-sound" in said
    assert "Traceback" not in said


def test_it_serves_all_the_same_where_it_is_told_to_and_logs_what_is_wrong(group, starting):
    with configured(group, fsync="off"):
        server = starting(group.url, "--replicas", "1", "--no-require-sound", "--log-format", "json")
        server.out.wait_for("Jobs are kept")
        said = json.loads(server.err.wait_for("fsync_off"))
    assert (said["level"], said["mend"]) == (
        "error",
        "ALTER SYSTEM SET fsync = on, and SELECT pg_reload_conf(). On Patroni: patronictl edit-config.",
    )


def test_without_replicas_nothing_stops_it(group):
    with configured(group, synchronous_standby_names="", fsync="off"):
        assert refused(group.url, replicas=0) is None
        assert refused(group.url, require_sound=False) is None
        assert "fsync_off" in refused(group.url)


def test_a_sound_database_and_what_may_heal_by_itself_stop_nobody(group):
    assert refused(group.url) is None
    lost = group.standbys
    for one in lost:
        one.stop("immediate")
    try:
        wait_until(lambda: not group.streaming(), 10, "they still stream")
        assert refused(group.url) is None  # none is in sync; names that nobody bears yet are Patroni's way to wait
        with configured(group, synchronous_standby_names="*"):
            assert refused(group.url) is None
    finally:
        for one in lost:
            one.start()
        group.wait_streaming()
    with configured(group, synchronous_standby_names="*"):
        assert "names_anybody" in refused(group.url)
        assert refused(group.url, standbys=("n2", "n3")) is None


def test_a_standby_is_not_asked_in_place_of_the_primary(group):
    with pytest.raises(StoreUnavailable):
        refused(group.standbys[0].url())


def test_a_database_that_comes_after_its_server_is_looked_at_when_it_is_there(starting, tmp_path):
    with postgres(tmp_path / "late") as late:
        late.stop()
        server = starting(late.url(), "--replicas", "1")
        server.out.wait_for("Nothing is taken yet")
        late.start()
        assert server.ended() == 1
    assert "names_empty:" in server.err.text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for a password."""
    with postgres(tmp_path_factory.mktemp("guarded")) as one:
        one.sql("ALTER ROLE holdfast PASSWORD 'right'")
        rules = one.data / "pg_hba.conf"
        rules.write_text("host all holdfast 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        one.sql("SELECT pg_reload_conf()")
        wait_until(lambda: one.sql("SELECT 1 FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'"), 10, "not read")
        yield one


@pytest.mark.parametrize(
    ("who", "database", "told"),
    [
        ("holdfast:wrong", "holdfast", "password authentication failed"),
        ("holdfast", "holdfast", "password authentication failed"),
        ("nobody", "holdfast", "does not exist"),
        ("postgres", "elsewhere", "does not exist"),
    ],
)
def test_it_says_that_nothing_is_taken_and_why_and_announces_no_standby(guarded, starting, who, database, told):
    server = starting(f"postgresql://{who}@127.0.0.1:{guarded.port}/{database}", "--replicas", "2")
    said = server.out.wait_for("Nothing is taken yet")
    assert told in said
    assert "wrong" not in said.replace(told, "")
    assert not server.out.text.split("Nothing")[0].count("Jobs are kept")


def test_it_says_so_where_standbys_are_missing(group, starting):
    for one in group.standbys:
        one.pause()
    group.require(0)
    server = starting(group.url, "--replicas", "1", "--no-require-sound")
    assert "0 standbys are in sync, and 1 is needed" in server.out.wait_for("Nothing is taken yet")
