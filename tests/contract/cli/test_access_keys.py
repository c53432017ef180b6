"""`holdfast key`: in a store that no server uses, beside a server, and through the API; and the admin key of a file."""

import json
import os
import re
import subprocess
import sys

import httpx
import pytest

from holdfast.auth import keys as rules
from tests import prefork

pytestmark = pytest.mark.long(25)

PATIENCE_S = 60


def run(*words, code=0, **variables):
    """Run the command; returns what it wrote to standard output and to standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = prefork.run(
        [sys.executable, "-m", "holdfast", *words],
        capture_output=True,
        text=True,
        env=environment | variables,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout.strip(), done.stderr


class Server:
    def __init__(self, store, *flags):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        command = [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--store", store, *flags]
        self.process = prefork.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        found = re.search(r"(http://127\.0\.0\.1:\d+)", self.process.stdout.readline())
        self.url = found[1] if found else ""

    def status(self, secret):
        return httpx.get(f"{self.url}/v1/keys", headers={"authorization": f"Bearer {secret}"}, timeout=PATIENCE_S).status_code

    def until(self, secret, status):
        while self.status(secret) != status:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


def test_the_first_key_can_be_created_before_a_server_or_a_file_exists(store):
    secret, said = run("key", "create", "--name", "root", "--can", "admin", "--store", store)
    assert rules.is_secret(secret)
    assert "root can admin on *" in said
    assert secret not in said
    with Server(store) as server:
        assert server.status(secret) == 200
        assert server.status("hf_none") == 401


def test_a_key_is_listed_shown_rotated_and_revoked_without_a_server(store):
    run(
        "key",
        "create",
        "--name",
        "ci",
        "--can",
        "produce,consume",
        "--queues",
        "emails.*, exact",
        "--expires",
        "90d",
        "--store",
        store,
    )
    listed, _ = run("key", "ls", "--json", "--store", store)
    (key,) = [json.loads(line) for line in listed.splitlines()]
    assert (key["name"], key["abilities"], key["queues"]) == ("ci", ["produce", "consume"], ["emails.*", "exact"])
    assert "secret" not in key or key["secret"] is None
    assert json.loads(run("key", "show", "ci", "--json", "--store", store)[0])["id"] == key["id"]
    assert rules.is_secret(run("key", "rotate", "ci", "--store", store)[0])
    run("key", "revoke", "ci", "--store", store, code=2)  # it can't prompt without a terminal, and `--yes` is missing
    run("key", "revoke", "ci", "--yes", "--store", store)
    assert run("key", "ls", "--json", "--store", store)[0] == ""
    _, said = run("key", "show", "ci", "--store", store, code=4)
    assert "[key_not_found]" in said


def test_a_key_is_edited_in_its_store_and_by_a_server(store):
    run("key", "create", "--name", "ci", "--can", "read", "--store", store)
    run("key", "edit", "ci", "--queues", "emails.*, exact", "--note", "x", "--hide-payloads", "--parked", "5", "--store", store)
    root, _ = run("key", "create", "--name", "root", "--can", "admin", "--store", store)

    def key():
        return json.loads(run("key", "show", "ci", "--json", "--store", store)[0])

    found = key()
    assert (found["queues"], found["note"], found["sees_payloads"], found["parked"]) == (["emails.*", "exact"], "x", False, 5)
    _, said = run("key", "edit", "ci", "--store", store, code=2)
    assert "Say what is to change" in said
    run("key", "edit", "ci", "--expires", "1d", "--never-expires", "--store", store, code=2)
    with Server(store) as server:
        at = ("--url", server.url, "--token", root)
        _, said = run("key", "edit", "ci", "--can", "fly", *at, code=1)
        assert "can must be of produce" in said
        run("key", "edit", "ci", "--can", "consume,read", "--show-payloads", "--expires", "90d", "--parked", "0", *at)
        edited = json.loads(run("key", "show", "ci", "--json", *at)[0])
        assert (edited["abilities"], edited["sees_payloads"], edited.get("parked")) == (["consume", "read"], True, None)
        assert edited["expires_at"]
        run("key", "edit", "ci", "--never-expires", *at)
        assert json.loads(run("key", "show", "ci", "--json", *at)[0])["expires_at"] is None


def test_a_key_is_changed_in_the_file_of_a_running_server(store, tmp_path):
    with Server(store) as server:
        secret, _ = run("key", "create", "--name", "root", "--can", "admin", HOLDFAST_STORE=store)
        server.until(secret, 200)
        httpx.post(f"{server.url}/v1/queues/q/jobs", json={"payload": 1}, headers={"authorization": f"Bearer {secret}"})
        other, _ = run("key", "rotate", "root", "--old", "0s", HOLDFAST_STORE=store)
        server.until(other, 200)
        server.until(secret, 401)
        run("key", "revoke", "root", "--yes", HOLDFAST_STORE=store)
        server.until(other, 401)
    _, said = run("check", str(tmp_path / "jobs.db"))
    assert "is sound" in said


def test_changes_of_keys_in_a_store_itself_are_in_the_audit_log(store):
    run("key", "create", "--name", "root", "--can", "admin", "--store", store)
    with Server(store) as server:
        secret, _ = run("key", "rotate", "root", HOLDFAST_STORE=store)
        run("key", "create", "--name", "gone", "--can", "read", HOLDFAST_STORE=store)
        run("key", "revoke", "gone", "--yes", HOLDFAST_STORE=store)
        server.until(secret, 200)
        told, _ = run("audit", "--action", "key", "--json", HOLDFAST_URL=server.url, HOLDFAST_TOKEN=secret)
        entries = [json.loads(line) for line in told.splitlines()]
        assert [(entry["action"], entry["target"], entry["door"], entry["outcome"]) for entry in entries] == [
            ("key.revoke", "gone", "shell", "done"),
            ("key.create", "gone", "shell", "done"),
            ("key.rotate", "root", "shell", "done"),
            ("key.create", "root", "shell", "done"),
        ]
        assert all(entry["who"] for entry in entries)


def test_the_api_needs_a_key_with_the_ability_admin(store):
    root, _ = run("key", "create", "--name", "root", "--can", "admin", "--store", store)
    with Server(store) as server:
        there = {"HOLDFAST_URL": server.url, "HOLDFAST_TOKEN": root}
        secret, _ = run("key", "create", "--name", "board", "--can", "read", "--hide-payloads", "--note", "hall", **there)
        listed, _ = run("key", "ls", **there)
        assert [line.split()[0] for line in listed.splitlines()[1:]] == ["board", "root"]
        _, said = run("key", "ls", code=1, **{**there, "HOLDFAST_TOKEN": secret})
        assert "lacks the ability admin" in said
        _, said = run("job", "ls", code=1, **{**there, "HOLDFAST_TOKEN": "hf_wrong"})
        assert "[unauthenticated]" in said
        assert "hf_wrong" not in said
        _, said = run("key", "create", "--name", "board", "--can", "read", code=1, **there)
        assert "[conflict]" in said
        run("key", "create", "--name", "x", "--can", "fly", code=1, **there)
        run("key", "revoke", "board", "--yes", **there)


def test_naming_both_a_store_and_a_server_is_refused(store):
    run("key", "ls", "--store", store, "--url", "http://127.0.0.1:1", code=2)


def test_the_admin_key_gets_the_secret_in_the_file(store, tmp_path):
    file = tmp_path / "admin"
    secret, _ = run("key", "secret")
    file.write_text(secret + "\n")
    with Server(store, "--admin-key-file", str(file)) as server:
        assert server.status(secret) == 200
        assert server.status("hf_none") == 401
    other, _ = run("key", "secret")
    file.write_text(other)
    with Server(store, "--admin-key-file", str(file)) as server:
        assert (server.status(other), server.status(secret)) == (200, 401)


@pytest.mark.parametrize("content", ["", "short", "hf_" + "x" * 49, None])
def test_a_server_does_not_start_with_an_unusable_admin_key_file(store, tmp_path, content):
    file = tmp_path / "admin"
    if content is not None:
        file.write_text(content)
    _, said = run("serve", "--port", "0", "--store", store, "--admin-key-file", str(file), code=1)
    assert "admin key file" in said
    assert not content or content not in said


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("show", "a"),
        ("edit", "a", "--note", "x"),
        ("rotate", "a"),
        ("revoke", "a", "--yes"),
        ("create", "--name", "a", "--can", "read"),
    ],
    ids=lambda words: words[0],
)
def test_a_place_that_is_no_store_is_refused_in_a_sentence(tmp_path, words):
    (tmp_path / "junk.db").write_bytes(b"no database at all" * 500)
    os.mkfifo(tmp_path / "pipe")
    said = {
        tmp_path / "junk.db": "can't be opened: file is not a database.",
        tmp_path: "is a directory, and a store is a file.",
        tmp_path / "pipe": "is a pipe, a socket or a device, and a store is a file.",
    }
    if words[0] != "create":  # which makes a store
        said[tmp_path / "none.db"] = "There is no store at "
    for path, sentence in said.items():
        _, told = run("key", *words, "--store", f"sqlite:///{path}", code=1)
        assert str(path) in told
        assert sentence in told
        assert "[invalid_request: store]" in told
        assert "Traceback" not in told
    assert not (tmp_path / "none.db").exists()
