"""`holdfast batch`: made, joined, watched, closed and cancelled from a shell."""

import json


def test_a_batch_is_made_joined_closed_and_watched(holdfast, queue, witness):
    made = holdfast("batch", "create", "--name", "report", "--on-success", f"{queue}-done", '{"all": true}')
    batch = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    assert holdfast("job", "push", queue, "1", "--batch", batch).returncode == 0
    assert holdfast("batch", "close", batch).stdout == f"{batch} is closed, 1 job pending\n"
    refused = holdfast("job", "push", queue, "2", "--batch", batch)
    assert refused.returncode == 1
    assert "[batch_closed]" in refused.stderr
    (line,) = [line for line in holdfast("batch", "ls").stdout.splitlines() if line.startswith(batch + " ")]
    assert line.split()[1:7] == ["report", "closed", "1", "0", "0", "0"]
    assert len(holdfast("job", "ls", "--batch", batch).stdout.splitlines()) == 2
    (job,) = witness.lease(queue)
    witness.conclude(job.lease.token)
    shown = json.loads(holdfast("batch", "show", batch, "--json").stdout)
    assert (shown["state"], shown["concluded"], shown["on_success"]["state"]) == ("finished", 1, "put")
    (job,) = witness.lease(f"{queue}-done")
    assert (job.payload, job.closes.name) == ({"all": True}, "report")


def test_a_batch_is_made_of_lines_and_cancelled(holdfast, queue):
    made = holdfast("batch", "create", "--queue", queue, "--close", stdin="1\n2\n\n3\n")
    batch = made.stdout.strip()
    assert "would cancel 3 jobs" in holdfast("batch", "cancel", batch, "--dry-run").stderr
    assert holdfast("batch", "cancel", batch, "--yes").stdout == "3 jobs cancelled or asked to stop\n"
    assert json.loads(holdfast("batch", "show", batch, "--json").stdout)["cancelled"] == 3
    missing = holdfast("batch", "show", "987654")
    assert missing.returncode == 4
    assert "[batch_not_found]" in missing.stderr
    assert holdfast("batch", "create", "--on-finish", queue, "nonsense").returncode == 2


def test_jobs_are_added_to_an_open_batch_line_by_line(holdfast, witness, queue):
    batch = int(holdfast("batch", "create").stdout)
    added = holdfast("batch", "add", str(batch), "--queue", queue, stdin="1\n2\n")
    whole = holdfast("batch", "add", str(batch), stdin=json.dumps({"queue": queue, "payload": 3, "priority": 7}) + "\n")
    ids = [int(line) for line in (added.stdout + whole.stdout).split()]
    jobs = [witness.job(each) for each in ids]
    assert [(job.batch, job.payload, job.priority) for job in jobs] == [(batch, 1, 1024), (batch, 2, 1024), (batch, 3, 7)]
    shown = json.loads(holdfast("batch", "show", str(batch)).stdout)
    assert shown["pending"] == 3
    for line, says in (
        ('{"payload": 1}', "has no queue"),
        ('{"queue": "q", "prio": 1}', "'prio' is not a field"),
        ('{"queue": 7}', "is not a job"),
    ):
        refused = holdfast("batch", "add", str(batch), stdin=line + "\n")
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr


def test_a_batch_is_named_by_its_number_and_a_line_by_its_own(holdfast, queue):
    for slip in ("1_0", "+1", "0"):
        refused = holdfast("batch", "cancel", slip, "--yes")
        assert (refused.returncode, "is not the number of a batch" in refused.stderr) == (2, True), slip
    refused = holdfast("batch", "create", "--queue", queue, stdin="1\n\n\nx\n")
    assert (refused.returncode, "line 4 is not JSON" in refused.stderr) == (2, True), refused.stderr
