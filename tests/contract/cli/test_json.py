"""`--json` prints the JSON of the API; and words that mean the same command, or the same number."""

import json

import httpx
import pytest

from holdfast.cli.entry import TALKING, main

pytestmark = pytest.mark.long(20)


@pytest.fixture
def api(shared):
    """What the API answers."""
    return lambda path: httpx.get(shared.url + path).json()


def printed(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def jobs(witness, queue):
    """One ready with every option, one whose payload is null, one that is no JSON, one that is dead, one concluded."""
    witness.set_budget(f"b-{queue}", 10)
    options = {"type": "t", "tags": ["a"], "meta": {"x": "1"}, "unique_key": "u", "group_key": "g", "fair_key": "f"}
    ids = [
        witness.enqueue(queue, {"a": 1.50}, priority=2, expires_in_ms=60_000, budgets=[{"name": f"b-{queue}"}], **options).id,
        witness.enqueue(queue, None, delay_ms=60_000).id,
        witness.enqueue(queue, b"\xff\x00", delay_ms=60_000).id,
    ]
    dead, done = witness.enqueue(queue, 4, priority=0).id, witness.enqueue(queue, 5, priority=1).id
    (first,) = witness.lease(queue)
    witness.fail(first.lease.token, "boom", retry=False)
    (second,) = witness.lease(queue)
    witness.conclude(second.lease.token, None)
    return [*ids, dead, done]


def test_a_job_is_printed_as_the_api_has_it(holdfast, api, jobs, queue):
    for job in jobs:
        assert printed(holdfast("job", "get", job, "--json")) == [api(f"/v1/jobs/{job}")]
        assert json.loads(holdfast("job", "get", job).stdout) == api(f"/v1/jobs/{job}")
    assert printed(holdfast("job", "ls", "--queue", queue, "--json")) == api(f"/v1/jobs?queue={queue}")["jobs"]
    (why,) = printed(holdfast("job", "why", jobs[3], "--json"))
    assert why == api(f"/v1/jobs/{jobs[3]}/why")


def test_so_is_everything_else_that_a_server_has(holdfast, witness, api, jobs, queue):
    witness.set_schedule(f"s-{queue}", cron="30 2 * * *", queue=queue)
    batch = witness.make_batch(name=queue).id
    witness.start_operation("cancel", queue=queue, type="none")
    pages = [
        (("queue", "info", queue), [api(f"/v1/queues/{queue}")]),
        (("queue", "ls"), api("/v1/queues")["queues"]),
        (("schedule", "info", f"s-{queue}"), [api(f"/v1/schedules/s-{queue}")]),
        (("budget", "show", f"b-{queue}"), [api(f"/v1/budgets/b-{queue}")]),
        (("batch", "show", batch), [api(f"/v1/batches/{batch}")]),
        (("operation", "list"), api("/v1/operations")["operations"]),
        (("failures", "--queue", queue), api(f"/v1/failures?queue={queue}")["groups"]),
        (("audit", "--limit", 3), api("/v1/audit?limit=3")["entries"]),
    ]
    for words, wanted in pages:
        assert printed(holdfast(*words, "--json")) == wanted, words


def test_jobs_are_listed_by_every_filter(holdfast, witness, jobs, queue):
    def ids(*filters):
        return {job["id"] for job in printed(holdfast("job", "ls", "--queue", queue, "--json", *filters))}

    assert ids("--error", "boom") == {jobs[3]}
    assert ids("--state", "dead", "--state", "concluded") == {jobs[3], jobs[4]}
    assert ids("--older", "1h") == set()
    assert ids("--older", "0ms") == set(jobs)
    assert len(ids("--state", "dead", "--state", "scheduled", "--limit", "2")) == 2


def test_a_job_is_found_by_its_idempotency_key_even_when_it_is_gone(holdfast, witness, api, queue):
    key = f"order-{queue}"
    job = int(holdfast("job", "push", queue, "7", "--idempotency-key", key).stdout)
    by_key = ("job", "get", "--queue", queue, "--idempotency-key", key, "--json")
    assert printed(holdfast(*by_key)) == [api(f"/v1/jobs/{job}")]
    witness.delete(job)
    (gone,) = printed(holdfast(*by_key))
    assert (gone["id"], gone["gone"]) == (job, True)
    missing = holdfast("job", "get", "--idempotency-key", f"{key}-other")
    assert (missing.returncode, missing.stdout) == (4, "")
    assert holdfast("job", "get").returncode == 2
    assert holdfast("job", "get", job, "--queue", queue).returncode == 2


def test_usual_words_for_a_verb_do_as_well(holdfast, witness, queue):
    job = witness.enqueue(queue, 1).id
    for words in (("job", "list"), ("job", "show", job), ("queue", "show", queue), ("queue", "list"), ("budget", "ls")):
        assert holdfast(*words).returncode == 0, words
    assert holdfast("queue", "lss").returncode == 2


def test_a_word_never_means_two_commands():
    for name in TALKING:
        group = main.get_command(None, name)
        for word in ("ls", "list", "get", "show", "info", "set", "edit", "delete", "rm", "push", "enqueue"):
            if hasattr(group, "commands") and word in group.commands:
                assert group.get_command(None, word) is group.commands[word]


def test_durations_and_sizes_of_a_queue_have_units(holdfast, api, queue):
    done = holdfast("queue", "set", queue, "lease_ms=5m", "capacity_bytes=2 GiB", "retention_ms=null", "max_attempts=3")
    assert done.returncode == 0, done.stderr
    settings = api(f"/v1/queues/{queue}")["settings"]
    assert [settings[name] for name in ("lease_ms", "capacity_bytes", "retention_ms", "max_attempts")] == [
        300_000,
        2 << 30,
        None,
        3,
    ]
    wrong = holdfast("queue", "set", queue, "lease_ms=5x")
    assert (wrong.returncode, "lease_ms must be a duration" in wrong.stderr) == (2, True)
    assert [each["outcome"] for each in api(f"/v1/audit?queue={queue}")["entries"]] == ["done"]


def test_one_job_that_is_refused_holds_up_no_other(holdfast, witness, queue):
    first, ended, last = (witness.enqueue(queue, number).id for number in range(3))
    witness.cancel(ended)
    done = holdfast("job", "cancel", first, ended, last)
    assert (done.returncode, done.stdout) == (1, f"{first} cancelled\n{last} cancelled\n")
    assert f"job {ended}: " in done.stderr
    assert holdfast("job", "delete", 999_999_998, 999_999_999, "--yes").returncode == 4


def test_a_failed_job_says_its_error_wherever_it_is_named(holdfast, witness, queue):
    job = witness.enqueue(queue, 1, max_attempts=1).id
    holdfast("worker", "exec", "--queue", queue, "--until-empty", "--", "sh", "-c", "echo no such user >&2; exit 3")
    error = "no such user (exit code 3)"
    listed = holdfast("job", "ls", "--queue", queue, "-o", "id,error")
    assert [line.split(maxsplit=1) for line in listed.stdout.splitlines()] == [["ID", "ERROR"], [str(job), error]]
    assert f"Its last error: {error}" in holdfast("job", "wait", job).stderr
    assert error in holdfast("job", "tail", job).stdout
    assert witness.job(job).last_error == error
    assert "no such user" in holdfast("job", "ls", "--queue", queue, "-o", "errors").stdout
