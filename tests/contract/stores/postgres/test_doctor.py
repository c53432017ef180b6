"""Every fault is made for real, on real servers; what the doctor says of a sound one is: nothing."""

import asyncio
import json
import sys
from contextlib import contextmanager

import pytest

from cluster.ports import free_port
from cluster.postgres import server
from cluster.processes import run, unprivileged, wait_until
from cluster.replicated import replicated
from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.doctor import SNAPSHOT_S, judge, waiting
from holdfast.stores.postgres.examine import examine
from tests import prefork
from tests.contract.stores.postgres.between import listening
from tests.system.whole.machine import need, tool_path


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A primary with two standbys, of which one is needed; each test leaves it as it was."""
    with replicated(tmp_path_factory.mktemp("group"), standbys=2, needed=1) as group:
        yield group


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One server without standbys, for what needs a restart."""
    with server(tmp_path_factory.mktemp("alone")) as one:
        yield one


def findings(url, replicas=1, counted=(), snapshot_s=SNAPSHOT_S):
    return judge(asyncio.run(examine(url)), replicas, counted, snapshot_s)


def breaking(url, replicas=1, counted=()):
    return {finding.code for finding in findings(url, replicas, counted) if finding.breaks}


def warned(url, replicas=1, **options):
    return {finding.code for finding in findings(url, replicas, **options) if not finding.breaks}


@contextmanager
def names(group, value):
    group.primary.configure(synchronous_standby_names=value)
    try:
        yield
    finally:
        group.require(1)


@contextmanager
def configured(one, usual, **settings):
    one.configure(**settings)
    try:
        yield
    finally:
        one.configure(**usual)


def test_a_sound_cluster_has_no_findings(group):
    assert findings(group.url) == []


# --------------------------------------------------------------------------------------------------- names and standbys


def test_without_names_a_commit_waits_for_nobody(group):
    with names(group, ""):
        assert "names_empty" in breaking(group.url)
        assert breaking(group.url, replicas=0) == set()


def test_a_star_lets_anything_that_streams_count(group):
    with names(group, "ANY 1 (*)"):
        assert breaking(group.url) == {"names_anybody"}
        assert breaking(group.url, counted=("n2", "n3")) == set()
        assert breaking(group.url, counted=("elsewhere",)) == {"standbys_not_in_sync"}


def test_names_that_wait_for_fewer_than_k_are_too_few(group):
    assert "names_too_few" in breaking(group.url, replicas=2)
    with names(group, "ANY 2 (n2, n3)"):
        assert breaking(group.url, replicas=2) == set()


def test_names_that_wait_for_fewer_than_k_pass_while_a_standby_is_away_as_patroni_shrinks_them(group):
    (finding,) = [one for one in findings(group.url, replicas=2) if one.code == "names_too_few"]
    assert finding.stops
    lost = group.standbys[0]
    lost.stop()
    try:
        wait_until(lambda: lost.name not in group.streaming(), 10, "it still streams")
        with names(group, f"ANY 1 ({group.standbys[0].name})"):
            assert breaking(group.url, replicas=2) == {"names_too_few", "standbys_not_in_sync"}
            assert not [one for one in findings(group.url, replicas=2) if one.stops]
    finally:
        lost.start()
        group.wait_streaming()


def test_names_that_can_never_be_met_are_told(group):
    with names(group, "ANY 3 (n2, n3)"):
        assert "names_not_enough" in breaking(group.url)


def test_a_standby_that_is_not_named_does_not_count(group):
    with names(group, "ANY 1 (n2)"):
        assert breaking(group.url) == set()
        assert warned(group.url) == {"standby_async"}
        assert "standbys_not_in_sync" in breaking(group.url, replicas=2)


def test_a_missing_standby_is_a_warning_while_enough_are_left_and_passes(group):
    lost = group.standbys[0]
    lost.stop()
    try:
        wait_until(lambda: lost.name not in group.streaming(), 10, "it still streams")
        assert breaking(group.url) == set()
        assert warned(group.url) == {"standby_missing"}
        with names(group, "ANY 2 (n2, n3)"):
            (finding,) = [finding for finding in findings(group.url, replicas=2) if finding.breaks]
            assert finding.code == "standbys_not_in_sync"
            assert finding.passes
            assert lost.name in finding.seen
    finally:
        lost.start()
        group.wait_streaming()


def test_two_standbys_under_one_name_count_as_two_and_are_told(group):
    twin = group.standbys[1]
    usual = twin.value("SHOW primary_conninfo")
    twin.configure(primary_conninfo=usual.replace("application_name=n3", "application_name=n2"))
    try:
        sharing = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n2' AND state = 'streaming'"
        wait_until(lambda: group.primary.value(sharing) == 2, 10, "they do not share a name")
        assert "standby_name_shared" in breaking(group.url)
    finally:
        twin.configure(primary_conninfo=usual)
        group.wait_streaming()


def test_a_standby_alone_is_no_primary_and_that_passes(group):
    (finding,) = [finding for finding in findings(group.standbys[0].url()) if finding.breaks]
    assert finding.code == "no_primary"
    assert finding.passes


def test_a_role_that_may_not_see_the_standbys_can_prove_nothing(group):
    group.primary.sql("REVOKE pg_monitor FROM holdfast")
    try:
        (finding,) = [finding for finding in findings(group.url) if finding.breaks]
        assert finding.code == "monitor_missing"
    finally:
        group.primary.sql(finding.mend)
    assert findings(group.url) == []


def test_a_superuser_sees_the_standbys(group):
    assert findings(group.primary.url("postgres", "holdfast")) == []


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_what_the_disk_needs_is_not_off(group, name):
    with configured(group.primary, {name: "on"}, **{name: "off"}):
        assert breaking(group.url) == {f"{name}_off"}
        assert breaking(group.url, replicas=0) == {f"{name}_off"}


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_what_the_disk_of_a_standby_needs_is_not_off_either_because_its_word_counts(group, name):
    standby = group.standbys[0]
    with configured(standby, {name: "on"}, **{name: "off"}):
        (finding,) = findings(group.url)
        assert (finding.code, finding.stops) == (f"standby_{name}_off", True)
        assert str(standby.port) in finding.seen
        assert findings(group.primary.url()) == []  # it is not named there, and so not asked
        assert findings(group.url, replicas=0) == []
    assert findings(group.url) == []


@pytest.mark.parametrize("whose", ["ROLE holdfast", "DATABASE holdfast", "ROLE ALL", "ROLE holdfast IN DATABASE holdfast"])
def test_a_role_or_database_that_does_not_wait_is_named_and_mended_by_what_is_said(group, whose):
    group.primary.sql(f"ALTER {whose} SET synchronous_commit = off")
    try:
        (finding,) = findings(group.url)
        assert finding.code == "synchronous_commit_overridden"
        assert finding.breaks
        assert whose in finding.seen
    finally:
        group.primary.sql(finding.mend)
    assert findings(group.url) == []


@pytest.mark.parametrize("written", ["false", "no", "0", "'OFF'", "'Remote_Write'"])
def test_however_it_is_written_that_a_role_does_not_wait(group, written):
    group.primary.sql(f"ALTER ROLE holdfast SET synchronous_commit = {written}")
    try:
        assert breaking(group.url) == {"synchronous_commit_overridden"}
    finally:
        group.primary.sql("ALTER ROLE holdfast RESET synchronous_commit")


@pytest.mark.parametrize("whose", ["ROLE holdfast", "DATABASE holdfast", "SYSTEM"])
def test_a_database_that_is_made_read_only_is_no_standby_and_what_set_it_is_named(group, whose):
    group.primary.sql(f"ALTER {whose} SET default_transaction_read_only = yes")
    group.primary.sql("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: findings(group.url) != [], 10, "it is not told")
        (finding,) = findings(group.url)
        assert (finding.code, finding.breaks, finding.stops) == ("read_only", True, False)
        assert ("the whole server" if whose == "SYSTEM" else whose) in finding.seen
        assert f"ALTER {whose} RESET default_transaction_read_only" in finding.mend
    finally:
        with group.primary.connect(options="-c default_transaction_read_only=off") as mending:
            mending.execute(f"ALTER {whose} RESET default_transaction_read_only")
            mending.execute("SELECT pg_reload_conf()")
    wait_until(lambda: findings(group.url) == [], 10, "it is still told")


def test_nothing_that_others_made_in_the_path_of_the_role_is_run_while_it_looks(group):
    """A function whose arguments fit better than those of the server's own."""
    primary = group.primary
    primary.sql("CREATE SCHEMA own", database="holdfast")
    try:
        primary.sql("CREATE TABLE own.run(n int)", database="holdfast")
        body = "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO own.run VALUES (1); RETURN '?'; END $$"
        for arguments in ("text, integer, name, text", "text, text", "text, name"):
            primary.sql(f"CREATE FUNCTION own.format({arguments}) RETURNS text {body}", database="holdfast")
        primary.sql("GRANT ALL ON SCHEMA own TO PUBLIC; GRANT ALL ON own.run TO PUBLIC", database="holdfast")
        primary.sql("ALTER ROLE holdfast SET search_path = own, public")
        with primary.connect() as holder:
            holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT 1")
            assert warned(group.url, snapshot_s=0) == {"snapshot_old"}
        assert primary.sql("SELECT * FROM own.run", database="holdfast") == []
    finally:
        primary.sql("ALTER ROLE holdfast RESET search_path")
        primary.sql("DROP SCHEMA own CASCADE", database="holdfast")


def test_another_role_that_does_not_wait_is_a_warning(group):
    group.primary.sql("ALTER ROLE replicator SET synchronous_commit = local")
    try:
        assert breaking(group.url) == set()
        assert warned(group.url) == {"synchronous_commit_overridden"}
    finally:
        group.primary.sql("ALTER ROLE replicator RESET synchronous_commit")


def test_a_server_that_does_not_wait_is_told(group):
    with configured(group.primary, {"synchronous_commit": "on"}, synchronous_commit="remote_write"):
        assert breaking(group.url) == {"synchronous_commit_weak"}


def test_what_counts_after_a_restart_only_is_seen_then(alone):
    alone.configure(data_sync_retry="on", wal_level="minimal", max_wal_senders="0", autovacuum="off")
    alone.stop()
    run([*unprivileged(alone.programs.folder, alone.data), alone.programs["pg_checksums"], "--disable", "-D", str(alone.data)])
    alone.start()
    assert breaking(alone.url(), replicas=0) == {"data_sync_retry_on"}
    assert {"wal_level_minimal", "names_empty"} <= breaking(alone.url(), replicas=1)
    assert warned(alone.url()) == {"data_checksums_off", "autovacuum_off"}


def test_a_database_in_another_encoding_is_refused(group):
    group.primary.sql("CREATE DATABASE other OWNER holdfast TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        assert breaking(group.primary.url("holdfast", "other")) == {"encoding_not_utf8"}
    finally:
        group.primary.sql("DROP DATABASE other WITH (FORCE)")


# ------------------------------------------------------------------------------------------------- what fills the disk


def test_slots_without_a_bound_are_a_warning(group):
    group.primary.sql("SELECT pg_create_physical_replication_slot('away', true)")
    try:
        assert findings(group.url) == []
        with configured(group.primary, {"max_slot_wal_keep_size": "2GB"}, max_slot_wal_keep_size="-1"):
            assert warned(group.url) == {"slot_unbounded"}
    finally:
        group.primary.sql("SELECT pg_drop_replication_slot('away')")


def test_who_holds_an_old_snapshot_is_named(group):
    with group.primary.connect() as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        (pid,) = holder.execute("SELECT pg_backend_pid()").fetchone()
        assert findings(group.url) == []  # it is young
        old = [finding for finding in findings(group.url, snapshot_s=0) if finding.code == "snapshot_old"]
        assert any(f"session {pid} " in finding.seen for finding in old)
        assert not any(finding.breaks for finding in old)


# --------------------------------------------------------------------------------------------------------- in between


def test_a_proxy_that_passes_connections_on_is_no_pooler(group, tmp_path):
    port = free_port()
    file = tmp_path / "haproxy.cfg"
    file.write_text(
        "defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 9s\n    timeout server 9s\n"
        f"listen pg\n    bind 127.0.0.1:{port}\n    server one 127.0.0.1:{group.primary.port}\n"
    )
    need("haproxy")
    with listening([tool_path("haproxy"), "-db", "-f", str(file)], port) as url:
        assert findings(url) == []


# ---------------------------------------------------------------------------------------------------------- the command


def doctor(*options):
    command = [sys.executable, "-m", "holdfast", "doctor", *options]
    return prefork.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_command_ends_with_0_where_nothing_breaks_the_promise(group):
    done = doctor("--store", group.url, "--replicas", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "standbys in sync: n2, n3." in done.stdout
    assert "Nothing would break the promise; 0 warnings." in done.stdout


def test_the_command_ends_with_1_and_says_what_breaks_what_it_means_and_how_to_mend_it(group):
    with names(group, ""):
        told = doctor("--store", group.url, "--replicas", "1")
        as_json = doctor("--store", group.url, "--replicas", "1", "--json")
    assert told.returncode == as_json.returncode == 1
    for text in ("BREAKS   names_empty", "A commit waits for no standby", "Fix: Set synchronous_standby_names to 'ANY 1"):
        assert text in told.stdout
    answer = json.loads(as_json.stdout)
    assert answer["sound"] is False
    assert answer["findings"][0].keys() == {"code", "seen", "means", "mend", "breaks", "passes"}


def test_the_command_says_so_when_there_is_no_server():
    port = free_port()
    done = doctor("--store", f"postgresql://holdfast@127.0.0.1:{port}/holdfast")
    assert done.returncode == 1
    assert "can't be examined" in done.stderr


def test_the_command_takes_its_settings_from_where_the_server_takes_them(group, tmp_path):
    assert doctor("--store", "sqlite:///jobs.db").returncode == 2
    file = tmp_path / "holdfast.toml"
    file.write_text(f'store = "{group.url}"\nreplicas = 1\nstandbys = ["n2", "n3"]\n')
    done = doctor("--config", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "K = 1" in done.stdout
    assert doctor("--config", str(file), "--standbys", "n9").returncode == 1


def test_a_server_that_is_gone_raises_what_the_store_raises():
    port = free_port()
    with pytest.raises(StoreUnavailable):
        asyncio.run(examine(f"postgresql://holdfast@127.0.0.1:{port}/holdfast"))


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("", 0, ()),
        ("*", 1, ("*",)),
        ("a, B", 1, ("a", "b")),
        ("2 (a,b , c)", 2, ("a", "b", "c")),
        ("ANY 1 (n2, n3)", 1, ("n2", "n3")),
        ('first 2 ("x y","q""q",z)', 2, ("x y", 'q"q', "z")),
    ],
)
def test_names_are_read_as_postgresql_reads_them(text, number, expected):
    wait = waiting(text)
    assert (wait.number, wait.names) == (number, expected)
