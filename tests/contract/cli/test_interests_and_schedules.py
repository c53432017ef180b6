"""Interests, schedules, jobs and tables, events for all, help texts, and what a command imports."""

import json
import re
import subprocess
import sys
import urllib.request

import click
import pytest

from holdfast.cli.entry import SERVER, TALKING, main
from tests.contract.cli.shell import environment


def test_interests_are_set_tried_out_and_removed(holdfast, queue):
    assert holdfast("interest", "set", queue, f"^of$=^{queue}$").returncode == 0
    event = json.dumps({"of": queue})
    assert holdfast("interest", "test", event).stdout == f"{queue}\n"
    assert queue in holdfast("interest", "ls").stdout
    put = holdfast("publish", event, "--tag", "x", "--priority", 4)
    (name, job) = put.stdout.splitlines()[1].split()
    assert (name, json.loads(holdfast("job", "get", job, "--json").stdout)["priority"]) == (queue, 4)
    assert "would remove the subscription" in holdfast("interest", "delete", queue, "--dry-run").stderr
    assert holdfast("interest", "delete", queue, "--yes").returncode == 0
    refused = holdfast("publish", event, "--require-interest")
    assert refused.returncode == 1
    assert "[no_interest]" in refused.stderr
    assert holdfast("interest", "set", queue, "nonsense").returncode == 2


def test_schedules_are_made_run_paused_and_removed(holdfast, queue, witness):
    made = holdfast("schedule", "set", queue, "--cron", "30 2 * * *", "--queue", queue, "--payload", "[1]", "--json")
    assert json.loads(made.stdout)["cron"] == "30 2 * * *"
    ran = holdfast("schedule", "run", queue)
    assert witness.job(int(ran.stdout)).payload == [1]
    assert holdfast("schedule", "pause", queue).stdout == f"{queue} is paused\n"
    (line,) = [line for line in holdfast("schedule", "ls").stdout.splitlines() if line.startswith(queue + " ")]
    assert line.split()[1:] == ["30", "2", "*", "*", "*", queue, "-", "1", "paused"]
    assert holdfast("schedule", "resume", queue).returncode == 0
    assert holdfast("schedule", "delete", queue).returncode == 2
    assert holdfast("schedule", "delete", queue, "--yes").returncode == 0
    assert holdfast("schedule", "run", queue).returncode == 4


def test_a_list_shows_what_counts_against_the_bound_of_attempts(holdfast, queue, witness):
    job = witness.enqueue(queue, max_attempts=3)
    for end in (witness.release, witness.release, lambda token: witness.fail(token, "away", delay_ms=0)):
        (leased,) = witness.lease(queue)
        end(leased.lease.token)
    (_, row) = holdfast("job", "ls", "--queue", queue, "-o", "id,attempt,failed").stdout.splitlines()
    assert row.split() == [str(job.id), "3", "1/3"]


def test_an_instant_is_said_as_the_api_says_it(holdfast, queue, witness, shared):
    job = witness.enqueue(queue, delay_ms=3_600_000)
    with urllib.request.urlopen(f"{shared.url}/v1/jobs/{job.id}") as answer:
        said = json.load(answer)
    shown = json.loads(holdfast("job", "get", job.id, "--json").stdout)
    moments = ("created_at", "ready_at")
    assert [shown[name] for name in moments] == [said[name] for name in moments]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created_at"])


def test_a_refusal_names_its_code_and_the_field(holdfast, queue):
    refused = holdfast("schedule", "set", queue, "--cron", "never", "--queue", queue)
    assert refused.returncode == 1
    assert refused.stderr.rstrip().endswith("[invalid_request: cron]")


def test_a_pattern_that_cannot_be_read_is_named(holdfast, queue):
    refused = holdfast("interest", "set", queue, "^action$=(user")
    assert refused.returncode == 1
    assert "(user" in refused.stderr


def test_a_job_that_waits_is_edited(holdfast, witness, queue):
    job = witness.enqueue(queue, 1).id
    edited = holdfast("job", "edit", job, "priority=7", 'payload={"to": "bob"}', 'tags=["urgent"]')
    assert json.loads(edited.stdout)["priority"] == 7
    changed = witness.job(job)
    assert (changed.payload, changed.tags) == ({"to": "bob"}, ["urgent"])
    assert holdfast("job", "edit", job, "payload=bob").stderr.count("the value of payload is not JSON") == 1
    for wrong in ("colour=1", "job_id=1"):
        refused = holdfast("job", "edit", job, wrong)
        assert (refused.returncode, "[invalid_request" in refused.stderr) == (1, True), refused.stderr


def test_columns_are_chosen_by_name_or_are_all_of_them(holdfast, witness, queue):
    job = witness.enqueue(queue, {"to": "ada"}, tags=["urgent", "new"], delay_ms=60_000)
    shown = holdfast("job", "ls", "--queue", queue, "-o", "id,tags,worker,payload,created_at").stdout.splitlines()
    assert shown[0].split() == ["ID", "TAGS", "WORKER", "PAYLOAD", "CREATED_AT"]
    assert shown[1].split() == [
        str(job.id),
        '["urgent","new"]',
        "-",
        '{"to":"ada"}',
        *f"{job.created_at:%Y-%m-%d %H:%M:%SZ}".split(),
    ]
    wide = holdfast("queue", "ls", "--columns", "wide").stdout.splitlines()
    (mine,) = [dict(zip(wide[0].split(), line.split(), strict=False)) for line in wide if line.startswith(f"{queue} ")]
    assert (mine["SCHEDULED"], mine["CONCLUDED"], mine["LEASE_MS"] if "PAUSED" not in mine else "") == ("1", "0", "")
    wrong = holdfast("job", "ls", "-o", "id,colour")
    assert wrong.returncode == 2
    assert "'colour' is no column; there are id, queue" in " ".join(wrong.stderr.split())


def commands(group: click.Group, name: str = "holdfast") -> list[tuple[str, click.Command]]:
    ctx = click.Context(group)
    found = []
    for each in group.list_commands(ctx):
        command = group.get_command(ctx, each)
        assert command is not None
        path = f"{name} {each}"
        found += commands(command, path) if isinstance(command, click.Group) else [(path, command)]
    return found


def test_every_command_that_talks_to_a_server_has_examples_that_could_be_typed():
    talking = [(path, command) for path, command in commands(main) if path.split()[1] in TALKING]
    assert len(talking) > 30
    for path, command in talking:
        lines = (command.epilog or "").splitlines()
        assert any(path in line for line in lines), path


def test_the_summaries_of_the_first_page_are_those_of_the_commands():
    ctx = click.Context(main)
    for name, place in (TALKING | SERVER).items():
        command = main.get_command(ctx, name)
        assert command is not None
        assert command.name == name or place.name == "commands"
        assert (command.help or "").startswith(place.summary.rstrip(".")), name


@pytest.mark.parametrize("args", [["--help"], ["job", "push", "--help"], ["queue", "ls"], ["completion", "zsh"]])
def test_neither_the_first_page_nor_a_command_imports_the_server(args, shared):
    command = [sys.executable, "-X", "importtime", "-m", "holdfast", *args]
    said = subprocess.run(command, env=environment(shared.url), capture_output=True, text=True, timeout=60, check=True).stderr
    imported = set(re.findall(r"\| +([\w.]+)$", said, re.MULTILINE))
    assert "holdfast.cli.entry" in imported
    heavy = {
        "uvloop",
        "multipart",
        "apsw",
        "asyncpg",
        "aiohttp",
        "rich",
        "holdfast.server",
        "holdfast.engine",
        "holdfast.stores",
    }
    assert not imported & heavy
