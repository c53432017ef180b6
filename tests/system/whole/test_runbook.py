"""The runbook: a server is brought into each state that it names, and the commands of its section are given, as they stand there.

What needs PostgreSQL with standbys is at the end. A `console` block is for a person on the machine (systemd, the kernel's log) and is not run.
"""

import re
import subprocess
from typing import Any

import httpx
import pytest
import yaml

from cluster.replicated import replicated
from holdfast import errors
from holdfast.http.problem import STATUS
from tests.system.docs.examples import environment
from tests.system.docs.pages import ROOT, anchors, blocks, links, read
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.machine import fill, small_disk
from tests.system.whole.servers import Server, until

pytestmark = pytest.mark.long(40)

PAGE = "docs/runbook.md"
RULES = sorted(ROOT.glob("deploy/prometheus/*.yml"))
MIB = 1 << 20


def section(title: str) -> str:
    """A section of the page."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", read(PAGE), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def follow(title: str, server: Server, store: str = "holdfast-data/jobs.db", **given: str) -> list[str]:
    """Give the commands of a section, block by block; what each printed. Each must succeed, but for a check that found something."""
    said = []
    for block in blocks(section(title)):
        if block.language == "sh":
            known = {"HOLDFAST_URL": server.url, "STORE": store} | given
            command = ["bash", "-u", "-o", "pipefail", "-c", block.text]
            done = subprocess.run(
                command, cwd=server.home, env=environment() | known, capture_output=True, text=True, check=False, timeout=120
            )
            said.append(done.stdout + done.stderr)
            assert done.returncode == 0 or "holdfast check" in block.text, f"{block.text}\n{said[-1]}"
    assert said, title
    return said


def states(client: httpx.Client, queue: str) -> dict[str, int]:
    return dict(client.get(f"/v1/queues/{queue}").json()["jobs"])


def set_queue(client: httpx.Client, queue: str, **settings: Any) -> None:
    answer = client.patch(f"/v1/queues/{queue}", json=settings)
    assert answer.status_code in (200, 201), answer.text


def dead(client: httpx.Client, count: int, reason: str) -> None:
    """So many dead jobs, all with this error."""
    jobs = [{"queue": "mail", "payload": number, "max_attempts": 1} for number in range(count)]
    assert client.post("/v1/jobs", json={"jobs": jobs}).status_code == 201
    taken = lease(client, "mail", max=count)
    assert len(taken) == count
    failed = [{"token": job["lease"]["token"], "reason": reason} for job in taken]
    answer = client.post("/v1/leases/batch", json={"fail": failed})
    assert [outcome["state"] for outcome in answer.json()["fail"]] == ["dead"] * count


# ---------------------------------------------------------------------------------------------------------- the page


def test_every_alert_has_a_section_and_links_to_it():
    table = dict(re.findall(r"`(Holdfast\w+)`(?=[^|\n]*\| \[[^\]]*\]\((#[\w-]+)\))", read(PAGE)))
    alerts = {
        rule["alert"]: rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
    }
    assert set(table) == set(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md{table[name]}", name
        assert table[name][1:] in anchors(read(PAGE))
        assert re.match(r"/web(/|\?|$)", rule["annotations"]["page"]), name


def test_every_refusal_for_now_has_a_section():
    told = {code for code, status in STATUS.items() if status in (503, 507)} & set(errors.BY_CODE) - {"unavailable"}
    assert told == set(re.findall(r"^\| `([a-z_]+)` \|", read(PAGE), re.MULTILINE))


def test_each_section_says_what_it_means_how_to_look_and_what_to_do():
    titles = re.findall(r"^## (.+)$", read(PAGE), re.MULTILINE)
    for title in titles[1:]:
        parts = re.findall(r"^\*\*(It means|Look|Do|Do not)\*\*", section(title), re.MULTILINE)
        assert parts[:3] == ["It means", "Look", "Do"], title
    reached = {link[1:] for link in links(read(PAGE)) if link.startswith("#")}
    assert {title for title in anchors(read(PAGE)) if title not in ("runbook", "first")} - reached <= {
        "100000-dead-jobs",
        "a-worker-that-never-ends",
    }


# -------------------------------------------------------------------------------------------------------- the server


def test_first(serve):
    ready, stats = follow("First", serve())[0].split("\n", 1)
    assert ready == '{"status":"ready","reasons":[]}'
    assert "durability: disk" in stats


def test_it_does_not_answer_and_the_keeper_is_killed_again_and_again(serve):
    for _ in range(2):
        server = serve()
        with server.client() as client:
            push(client, "mail", 1)
            server.send(9, server.keeper)
            assert server.ended() == 1
    (said,) = follow("The keeper is killed again and again", server)
    assert "is sound" in said
    with serve().client() as client:
        assert states(client, "mail")["ready"] == 2


def test_the_stores_file_is_gone(serve, home):
    server = serve()
    with server.client() as client:
        push(client, "mail", 1)
    folder = home / "holdfast-data"
    folder.rename(home / "elsewhere")
    assert server.ended() == 1
    assert "No such file" in subprocess.run(["ls", folder], capture_output=True, text=True, check=False).stderr
    (home / "elsewhere").rename(folder)
    listed, checked = follow("The store's file is gone, or read-only", server)
    assert "jobs.db" in listed
    assert "is sound" in checked
    with serve().client() as client:
        assert states(client, "mail")["ready"] == 1


def test_the_disk_is_full(serve, tmp_path):
    with small_disk(tmp_path / "disk", 160 * MIB, "ext4") as disk:
        server = serve("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", str(48 * MIB))
        with server.client() as client:
            for _ in range(60):
                push(client, "mail", "x" * 1_000_000)
                (job,) = lease(client, "mail")
                assert conclude(client, job).status_code == 200
            fill(disk, 40 * MIB)
            until(lambda: client.get("/readyz").json()["reasons"] == ["storage_full"], "it is full")
            assert client.post("/v1/queues/mail/jobs", json={"payload": 1}).json()["code"] == "storage_full"
            look, purged = follow("The disk is full", server, str(disk / "jobs.db"))
            assert "mail" in look
            assert "60" in purged
            until(lambda: client.get("/readyz").json()["reasons"] == [], "it takes jobs again")
            push(client, "mail", 1)
        server.destroy()


def test_the_clock_jumped(serve, clock):
    clock(600)
    server = serve(env=clock.env)
    with server.client() as client:
        push(client, "mail", 1)
        clock(0)
        until(lambda: client.get("/readyz").json().get("warnings") == ["clock_behind"], "it is seen")
    (said,) = follow("The clock jumped", server)
    assert "clock_behind" in said
    assert re.search(r"^holdfast_clock_behind_seconds [1-9]", said, re.MULTILINE)
    server.send(15)
    assert server.ended() == 0
    with serve(env=clock.env).client() as client:
        assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
        assert states(client, "mail")["ready"] == 1


def test_something_is_set_aside(serve, home):
    apsw = pytest.importorskip("apsw")
    server = serve()
    with server.client() as client:
        assert client.put("/v1/schedules/night", json={"cron": "0 3 * * *", "queue": "mail", "payload": 1}).status_code == 200
    server.send(15)
    assert server.ended() == 0
    with apsw.Connection(str(home / "holdfast-data/jobs.db")) as db:
        db.execute("UPDATE schedule SET state = x'ff'")
    server = serve()
    (said,) = follow("Something is set aside", server)
    assert "is sound" not in said
    assert "night" in said.partition("\n")[2]
    with server.client() as client:
        assert client.put("/v1/schedules/night", json={"cron": "0 3 * * *", "queue": "mail", "payload": 1}).status_code == 200
    assert "is sound" in follow("Something is set aside", server)[0]


def test_a_queue_is_full(serve):
    server = serve()
    with server.client() as client:
        push(client, "mail", 1)
        set_queue(client, "mail", capacity_jobs=1)
        assert client.post("/v1/queues/mail/jobs", json={"payload": 2}).json()["code"] == "queue_full"
        looked, _ = follow("A queue is full", server)
        assert "100%" in looked
        push(client, "mail", 2)


def test_a_queue_only_grows(serve):
    server = serve()
    with server.client() as client:
        push(client, "mail", 1)
        assert client.post("/v1/queues/mail/pause").status_code == 200
        looked, _ = follow("A queue only grows", server)
        assert "paused" in looked
        assert len(lease(client, "mail")) == 1


def test_jobs_are_held_back(serve):
    server = serve()
    with server.client() as client:
        client.put("/v1/budgets/smtp", json={"limit": 1})
        assert client.post("/v1/budgets/smtp/block", json={"for_ms": 60_000}).status_code == 200
        push(client, "mail", 1, budgets=[{"name": "smtp"}])
        (looked,) = follow("Jobs are held back", server)
        assert "smtp" in looked
        assert "blocked" in looked


def test_a_batch_does_not_end(serve):
    server = serve()
    with server.client() as client:
        client.post("/v1/batches", json={"name": "never-closed", "jobs": [{"queue": "mail"}]})
        (looked,) = follow("A batch does not end", server)
        assert "never-closed" in looked


def test_jobs_fail_and_die(serve):
    server = serve()
    with server.client() as client:
        dead(client, 3, "SMTP error 421")
        dead(client, 2, "no such user")
        look, mended = follow("Jobs fail and die", server)
        assert "no such user" in look
        assert "done, 1 of 3 jobs" in mended
        assert states(client, "mail") | {"leased": 0} == {
            "scheduled": 0,
            "ready": 3,
            "leased": 0,
            "concluded": 0,
            "dead": 2,
            "cancelled": 0,
        }


def test_a_poison_job(serve):
    server = serve()
    with server.client() as client:
        job = push(client, "mail", 1)
        push(client, "mail", 2)
        lease(client, "mail", lease_ms=1)
        until(lambda: client.get(f"/v1/jobs/{job['id']}").json()["crashes"] == 1, "it crashed its worker")
        follow("A poison job", server, POISON=str(job["id"]))
        assert states(client, "mail")["ready"] == 1
        assert states(client, "mail.poison")["ready"] == 1
        assert lease(client, "mail.poison") == []


def test_a_worker_is_silent(serve, clock):
    server = serve(env=clock.env)
    with server.client() as client:
        push(client, "mail", 1)
        worker = client.post("/v1/workers", json={"queues": ["mail"], "name": "mailer-1"}).json()["id"]
        held = {"queues": ["mail"], "worker": worker, "lease_ms": 3_600_000}
        assert len(client.post("/v1/leases", json=held).json()["jobs"]) == 1
        assert "holdfast_silent_worker_jobs 0.0" in client.get("/metrics").text
        clock(120)
        until(lambda: "holdfast_silent_worker_jobs 1.0" in client.get("/metrics").text, "it is missed")
        assert "holdfast_silent_workers 1.0" in client.get("/metrics").text
        problems = client.get("/web").text
        assert "The worker mailer-1" in problems
        assert f"/web/bulk?way=release&amp;holder={worker}" in problems
        listed, taken = follow("A worker is silent", server, SILENT=worker)
        assert "running, silent" in listed
        assert "1 taken back" in taken
        assert states(client, "mail")["ready"] == 1


def test_a_worker_that_never_ends(serve):
    server = serve()
    worker = ["holdfast", "worker", "exec", "--queue", "mail", "--", "sleep", "1000"]
    with server.client() as client:
        job = push(client, "mail", 1)
        running = subprocess.Popen(worker, env=environment() | {"HOLDFAST_URL": server.url}, stderr=subprocess.DEVNULL)
        try:
            until(lambda: states(client, "mail")["leased"] == 1, "it runs")
            look, _ = follow("A worker that never ends", server, STUCK=str(job["id"]))
            assert f"{job['id']}" in look
            until(lambda: client.get(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled", "its worker heard of it")
        finally:
            running.terminate()
            running.wait(40)


def test_many_dead_jobs(serve):
    server = serve()
    with server.client() as client:
        dead(client, 300, "SMTP error 421")
        dead(client, 50, "no such user")
        counted, done = follow("100,000 dead jobs", server)
        assert re.findall(r"(\d+) jobs? \(dead\)", counted) == ["300", "50"]
        assert "100" in done
        assert (states(client, "mail")["ready"], states(client, "mail")["dead"]) == (300, 0)


def test_a_backup_failed(serve, home):
    server = serve("--backup-to", "not-mounted", "--backup-every", "1h")
    with server.client() as client:
        push(client, "mail", 1)
        until(lambda: client.get("/readyz").json().get("warnings") == ["backup_failed"], "it is told")
    looked, _ = follow("A backup failed", server)
    assert "backup_failed" in looked
    assert re.search(r"^holdfast_backup_failures_total [1-9]", looked, re.MULTILINE)
    assert (home / "by-hand.db").exists()


@pytest.mark.parametrize("title", ["The disk is slow", "Answers are errors", "A certificate ends"])
def test_what_is_looked_at_is_there(serve, title: str):
    (said,) = follow(title, serve())
    assert "holdfast_" in said or "not over TLS" in said


# -------------------------------------------------------------------------------------------------------- PostgreSQL


def test_a_standby_is_lost_and_a_failover(serving, tmp_path):
    with replicated(tmp_path, standbys=2, needed=1) as group:
        server = serving("--store", group.url, "--replicas", "1", at=tmp_path / "node").start()
        with server.client() as client:
            push(client, "mail", 1)
            standbys = group.standbys
            for standby in standbys:
                standby.stop()
            until(lambda: client.get("/readyz").json()["reasons"] == ["not_replicated"], "too few are in sync")
            assert client.post("/v1/queues/mail/jobs", json={"payload": 2}).json()["code"] == "not_replicated"
            for standby in standbys:
                standby.start()
            until(lambda: client.get("/readyz").json()["reasons"] == [], "they are back")
            push(client, "mail", 2)
            group.primary.kill()
            group.promote(group.most_advanced())
            until(lambda: client.get("/readyz").json()["reasons"] == [], "the node finds the new primary")
            assert '"ready"' in follow("A failover", server, group.url)[0]
            assert states(client, "mail")["ready"] == 2
