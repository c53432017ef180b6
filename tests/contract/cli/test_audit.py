"""`holdfast audit`: who did what, as a table or as JSON, by filters, and as it comes."""

import json
import subprocess

from tests import prefork
from tests.contract.cli.shell import HOLDFAST, environment


def test_who_deleted_these_jobs(holdfast, witness, queue):
    ids = [witness.enqueue(queue).id for _ in range(3)]
    assert holdfast("job", "delete", ids[0], "--yes").returncode == 0
    told = holdfast("audit", "--queue", queue, "--since", "24h", "--action", "job.delete")
    assert told.returncode == 0, told.stderr
    header, line = told.stdout.splitlines()
    assert header.split() == ["AT", "ACTION", "TARGET", "QUEUE", "DONE", "REFUSED", "OUTCOME", "WHO"]
    assert line.split()[2:] == ["job.delete", str(ids[0]), queue, "1", "0", "done", "127.0.0.1,", "http"]
    assert holdfast("audit", "--queue", queue, "--until", "1h", "--json").stdout == ""


def test_a_bulk_command_with_filters_leaves_one_entry(holdfast, witness, queue):
    for _ in range(3):
        witness.enqueue(queue, {"card": "4111"}, type="mail")
    assert holdfast("job", "cancel", "--queue", queue, "--type", "mail", "--text", "4111", "--yes").returncode == 0
    (entry,) = [json.loads(line) for line in holdfast("audit", "--queue", queue, "--json").stdout.splitlines()]
    assert (entry["action"], entry["done"], entry["refused"], entry["queue"]) == ("operation.start", 3, 0, queue)
    assert entry["note"] == "cancel jobs with type mail, by text (scheduled or ready)"


def test_follow_prints_new_entries_as_they_come(shared, witness, queue):
    witness.enqueue(queue)
    witness.pause(queue)
    process = prefork.start(
        [*HOLDFAST, "audit", "--queue", queue, "--since", "1h", "--follow", "--limit", "2", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(shared.url),
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["action"] == "queue.pause"
    witness.resume(queue)
    assert json.loads(process.stdout.readline())["action"] == "queue.resume"
    assert process.wait(30) == 0
    process.stdout.close()


def test_an_empty_filter_is_refused_instead_of_matching_all_entries(holdfast):
    told = holdfast("audit", "--queue", "")
    assert told.returncode == 2
    assert "it is empty" in told.stderr
