"""The kernel tells of names that change on the way to the store's files; where it can't, they are looked up each time."""

import os

import pytest

from holdfast.stores.sqlite.identity import FileIdentity
from holdfast.stores.sqlite.notices import Notices
from holdfast.stores.store import StoreBroken


@pytest.fixture
def home(tmp_path):
    home = tmp_path.resolve() / "above" / "folder"
    home.mkdir(parents=True)
    for name in ("jobs.db", "jobs.db-wal", "jobs.db-shm", "jobs.db.lock"):
        (home / name).write_bytes(b"1")
    return home


@pytest.fixture
def notices(home):
    notices = Notices(str(home), "ext4")
    yield notices
    notices.close()


@pytest.fixture
def identity(home):
    identity = FileIdentity(home / "jobs.db")
    yield identity
    identity.close()


def test_what_is_written_or_made_in_the_folder_is_no_news(notices, home):
    (home / "jobs.db").write_bytes(b"2")
    (home / "new").touch()
    os.utime(home / "jobs.db")
    assert not notices.waiting(0)


def test_a_name_that_is_removed_or_taken_is_news_once(notices, home):
    for happens in ((home / "jobs.db").unlink, lambda: (home / "jobs.db-wal").rename(home / "other")):
        happens()
        assert notices.waiting(0)
        notices.take()
        assert not notices.waiting(0)


def test_once_a_folder_above_was_moved_there_is_always_news(notices, home):
    home.parent.rename(home.parent.with_name("elsewhere"))
    for _ in range(3):
        assert notices.waiting(0)
        notices.take()


def test_there_is_always_news_behind_a_link_and_on_a_file_system_that_others_change(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    for folder, kind in ((str(tmp_path / "link"), "ext4"), (str(home), "fuse.sshfs"), (str(home), "")):
        notices = Notices(folder, kind)
        assert notices.waiting(0)
        notices.take()
        assert notices.waiting(0)
        notices.close()


def test_a_commit_is_not_confirmed_once_a_name_leads_elsewhere(identity, home):
    identity.confirm()
    (home / "other").write_bytes(b"1")
    (home / "other").rename(home / "unrelated")
    identity.confirm()
    (home / "unrelated").rename(home / "jobs.db")
    with pytest.raises(StoreBroken, match="exchanged"):
        identity.confirm()


def test_a_commit_is_not_confirmed_once_a_folder_above_is_another_one(identity, home):
    above = home.parent
    above.rename(above.with_name("elsewhere"))
    above.mkdir()
    (above.with_name("elsewhere") / "folder").rename(home)
    identity.confirm()
    above.rename(above.with_name("again"))
    with pytest.raises(StoreBroken, match="moved"):
        identity.confirm()
