"""`holdfast job` and `holdfast queue` against a real server: what they print, what they refuse, and with which code."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client, Worker
from holdfast.client import Raised
from holdfast.testing import LocalServer
from tests import prefork

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


@pytest.fixture
def client(server: LocalServer) -> Client:
    return server.client


@pytest.fixture
def run(server: LocalServer, tmp_path: Path) -> Run:
    def call(*args: Any, stdin: str = "", url: str = server.url) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "holdfast", *map(str, args)]
        env = {"HOLDFAST_URL": url, "PATH": "/usr/bin", "PYTHONPATH": ":".join(path for path in sys.path if path)}
        return prefork.run(command, input=stdin, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60, check=False)

    return call


def test_a_job_is_put_with_its_options_and_shown(run, client):
    put = run(
        "job", "push", "q", '{"a": 1}', "--type", "t", "--priority", 3, "--delay", "2h", "--tag", "x", "--tag", "y", "--json"
    )
    assert put.returncode == 0, put.stderr
    job = client.job(json.loads(put.stdout)["id"])
    assert (job.payload, job.type, job.priority, job.state, job.tags) == ({"a": 1}, "t", 3, "scheduled", ["x", "y"])
    assert 7_199 < (job.ready_at - job.created_at).total_seconds() < 7_201
    assert json.loads(run("job", "get", job.id).stdout)["payload"] == {"a": 1}
    assert [json.loads(line)["id"] for line in run("job", "ls", "--queue", "q", "--json").stdout.splitlines()] == [job.id]


def test_lines_of_standard_input_are_jobs_and_each_is_told_once_it_is_kept(run, client):
    put = run("job", "push", "lines", "--ndjson", stdin="".join(f'{{"n": {n}}}\n' for n in range(1_200)) + "\n")
    ids = [int(line) for line in put.stdout.splitlines()]
    assert (len(ids), put.stderr) == (1_200, "")
    assert [job.payload["n"] for job in client.jobs(queue="lines", page=1_000)] == list(range(1_200))


def test_a_line_that_is_no_json_is_named(run):
    put = run("job", "push", "broken", "--ndjson", stdin="1\nnot json\n")
    assert put.returncode == 2
    assert "line 2 is not JSON" in put.stderr


def test_a_result_is_waited_for_and_the_job_is_named_before(run, client, server):
    worker = Worker("work")
    worker.handler("double")(lambda job: job.payload * 2)
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(run("job", "push", "work", "21", "--type", "double", "--wait", "20s"))
    )
    thread.start()
    while not outcomes and not server.drain(worker):
        pass
    thread.join()
    assert (outcomes[0].returncode, outcomes[0].stdout) == (0, "42\n")
    (job,) = client.jobs(queue="work")
    assert f"holdfast job wait {job.id}" in outcomes[0].stderr, "whoever is cut off can go on waiting"


def test_a_job_that_ended_otherwise_and_one_that_takes_too_long_have_their_code(run, client):
    job = client.enqueue("later", delay_ms=60_000).id
    late = run("job", "wait", job, "--timeout", "50ms")
    assert (late.returncode, late.stdout) == (5, "")
    assert run("job", "cancel", job).stdout == f"{job} cancelled\n"
    ended = run("job", "wait", job)
    assert (ended.returncode, ended.stdout) == (5, "cancelled\n")


def test_jobs_are_managed_and_what_destroys_wants_to_be_told(run, client):
    job = client.enqueue("m", delay_ms=60_000).id
    assert run("job", "promote", job).stdout == f"{job} ready\n"
    asked = run("job", "delete", job)
    assert (asked.returncode, client.job(job).state) == (2, "ready")
    assert "--yes" in asked.stderr
    told = run("job", "delete", job, "--dry-run")
    assert (told.returncode, told.stdout) == (0, "")
    assert "would delete" in told.stderr
    assert run("job", "delete", job, "--yes").returncode == 0
    gone = run("job", "get", job)
    assert (gone.returncode, gone.stdout) == (4, "")
    assert "job_not_found" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_queues_are_managed(run, client):
    made = run("queue", "set", "s", "capacity_jobs=1", "retention_ms=null")
    assert json.loads(made.stdout)["settings"]["capacity_jobs"] == 1
    run("queue", "set", "s", "lease_ms=1000")
    assert set(client.queue("s").set) == {"capacity_jobs", "retention_ms", "lease_ms"}, "what was set before stays"
    client.enqueue("s")
    full = run("job", "push", "s", "2")
    assert full.returncode == 1
    assert "[queue_full]" in full.stderr
    assert run("queue", "pause", "s").stdout == "s is paused\n"
    assert client.queue("s").paused
    run("queue", "resume", "s")
    assert not client.queue("s").paused
    assert run("queue", "pause", "s", "--type", "mail").stdout == "mail in s is paused\n"
    assert client.queue("s").paused_types == ["mail"]
    assert "of 1 type" in run("queue", "ls").stdout
    assert run("queue", "resume", "s", "--type", "mail").stdout == "mail in s is resumed\n"
    assert client.queue("s").paused_types == []
    assert "s" in run("queue", "ls").stdout.split()
    assert run("queue", "scale", "s", "--drain", "5m", "--concurrency", 4).stdout.startswith(
        "workers needed: 1 (1 waiting, 0 running, "
    )
    assert "would delete 1 job of s" in run("queue", "purge", "s", "--dry-run").stderr
    assert run("queue", "purge", "s", "--yes").stdout == "1 deleted\n"
    assert run("queue", "delete", "s", "--yes").returncode == 0
    assert run("queue", "info", "s").returncode == 4


def test_nobody_there_and_a_wrong_command_have_codes_of_their_own(run):
    assert run("queue", "ls", "--deadline", "100ms", url="http://127.0.0.1:1").returncode == 3
    for wrong in (
        ["job", "push", "q", "{not json"],
        ["queue", "set", "q", "nonsense"],
        ["job", "push", "q", "--delay", "soon"],
    ):
        assert run(*wrong).returncode == 2
    assert run("queue", "ls", url="nowhere").returncode == 2


def test_help_lists_every_command(run):
    said = run("--help").stdout
    assert {"job", "queue", "serve", "config"} <= {line.split()[0] for line in said.splitlines() if line.startswith("  ")}


def test_a_job_with_a_time_to_live_expires_and_is_retried(run, client, server):
    put = run("job", "push", "ttl", "--expires-in", "1ms")
    assert put.returncode == 0, put.stderr
    server.advance(1)
    job = client.wait(int(put.stdout), 20)
    assert (job.state, job.reason) == ("cancelled", "expired")
    assert (job.expires_at - job.created_at).total_seconds() == 0.001
    again = run("job", "retry", job.id, "--expires-in", "10m")
    assert (again.returncode, again.stdout) == (0, f"{job.id} ready\n")
    retried = client.job(job.id)
    assert (retried.expires_at - retried.ready_at).total_seconds() == 600
    assert "It ends as expired in" in run("job", "why", job.id).stdout
    run("job", "edit", job.id, "expires_at=null")
    assert client.job(job.id).expires_at is None


def test_of_cancelled_jobs_only_those_that_expired_are_retried_all_at_once(run, client, server):
    late = [client.enqueue("bulk-ttl", expires_in_ms=1).id for _ in range(2)]
    server.advance(1)
    stopped = client.enqueue("bulk-ttl").id
    client.cancel(stopped)
    done = run("job", "retry", "--queue", "bulk-ttl", "--state", "cancelled", "--yes")
    assert done.returncode == 0, done.stderr
    assert [client.job(number).state for number in late] == ["ready", "ready"]
    assert client.job(stopped).state == "cancelled"


def test_failures_are_listed_by_their_error_and_its_place(run, client):
    trace = 'Traceback (most recent call last):\n  File "/srv/app/mail.py", line 3, in send\nOSError: no'
    for _ in range(2):
        client.enqueue("failing")
        (held,) = client.lease("failing")
        client.fail(held.lease.token, retry=False, error=Raised(kind="OSError", message="no", traceback=trace))
    listed = run("failures", "--queue", "failing")
    assert listed.returncode == 0, listed.stderr
    head, line = listed.stdout.splitlines()
    assert head.split() == ["ERROR", "PLACE", "QUEUE", "TYPE", "DEAD", "RETRYING", "LAST", "EXAMPLE", "KEY"]
    assert line.startswith("OSError: no  /srv/app/mail.py in send  failing  -     2     0 ")
    (group,) = map(json.loads, run("failures", "--queue", "failing", "--json").stdout.splitlines())
    assert (group["error"], group["place"], group["dead"]) == ("OSError: no", "/srv/app/mail.py in send", 2)
    shown = json.loads(run("job", "get", group["example"]).stdout)
    assert shown["errors"][0]["error"] == {
        "class": "OSError",
        "message": "no",
        "traceback": trace,
        "place": "/srv/app/mail.py in send",
    }
