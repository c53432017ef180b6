"""Real servers, started and broken: other tests use them to break Holdfast's store."""

import threading

import psycopg
import pytest

from cluster.postgres import server
from cluster.programs import find, installed
from cluster.replicated import replicated


@pytest.fixture(params=[programs.major for programs in installed()] or ["none"])
def programs(request):
    """Each installed version of PostgreSQL."""
    return find(None if request.param == "none" else request.param)


def test_a_server_of_every_installed_version_starts_and_has_holdfasts_role_and_database(tmp_path, programs):
    with server(tmp_path, programs=programs) as one:
        assert one.value("SHOW server_version_num").startswith(str(programs.major))
        assert one.sql("SELECT current_user, current_database()", user="holdfast", database="holdfast") == [
            ("holdfast", "holdfast")
        ]
        assert one.value("SELECT pg_has_role('holdfast', 'pg_monitor', 'member')")
        assert one.value("SHOW data_checksums") == "on"
    assert not one.running


def test_committed_rows_exist_after_kill_9(tmp_path):
    with server(tmp_path) as one:
        one.sql("CREATE TABLE kept (value int)")
        one.sql("INSERT INTO kept VALUES (1)")
        one.kill()
        with pytest.raises(psycopg.OperationalError):
            one.sql("SELECT 1")
        one.start()
        assert one.sql("SELECT value FROM kept") == [(1,)]


def test_a_paused_server_answers_nothing_until_it_is_resumed(tmp_path):
    with server(tmp_path) as one:
        one.pause()
        answered = threading.Event()
        asking = threading.Thread(target=lambda: (one.sql("SELECT 1", timeout_s=30), answered.set()))
        asking.start()
        assert not answered.wait(0.5)
        one.resume()
        assert answered.wait(10)
        asking.join()


def test_a_commit_waits_for_as_many_standbys_as_are_needed(tmp_path):
    with replicated(tmp_path, standbys=2, needed=2) as group:
        group.primary.sql("CREATE TABLE kept (value int)")
        group.standbys[0].pause()
        done = threading.Event()
        writing = threading.Thread(target=lambda: (group.primary.sql("INSERT INTO kept VALUES (1)"), done.set()))
        writing.start()
        assert not done.wait(0.5)
        group.standbys[0].resume()
        assert done.wait(10)
        writing.join()


def test_a_standby_is_promoted_and_a_fresh_server_replaces_the_lost_one(tmp_path):
    with replicated(tmp_path, standbys=2, needed=1) as group:
        group.primary.sql("CREATE TABLE kept (value int)")
        group.primary.sql("INSERT INTO kept VALUES (1)")
        lost = group.primary
        lost.kill()
        group.promote(group.most_advanced())
        group.primary.sql("INSERT INTO kept VALUES (2)")
        lost.remove()
        group.recreate(lost)
        group.require(2)
        group.primary.sql("INSERT INTO kept VALUES (3)")
        assert group.streaming() == {"n1", "n3" if group.primary.name == "n2" else "n2"}
        with psycopg.connect(group.url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("holdfast",)
        group.wait_replayed()
        for standby in group.standbys:
            assert standby.sql("SELECT value FROM kept ORDER BY value") == [(1,), (2,), (3,)]
