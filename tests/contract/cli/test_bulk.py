"""Jobs by their ids or by filters: moved, retried, cancelled, deleted, settled; and input that breaks off half-way."""

import json
import os
import signal
import subprocess

import httpx
import pytest
from click.testing import CliRunner

from holdfast import Client, NewJob
from holdfast.cli.jobs import commands
from holdfast.errors import LeaseLost
from tests.contract.cli.shell import HOLDFAST, call, environment
from tests.contract.client.proxy import CUT, PASS, Proxy
from tests.contract.client.test_contents import TAKEN, put
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(25)


@pytest.fixture
def dead(witness, queue):
    """Three dead jobs: two timed out, one with another error, and with another type."""
    ids = []
    for reason, kind in (("timeout", "a"), ("timeout while talking", "a"), ("boom", "b")):
        ids.append(witness.enqueue(queue, type=kind).id)
        (job,) = witness.lease(queue)
        witness.fail(job.lease.token, reason, retry=False)
    return ids


def states(witness, ids):
    return [witness.job(each).state for each in ids]


def test_filters_name_the_jobs_a_dry_run_shows_them_and_only_they_are_changed(holdfast, witness, queue, dead):
    told = holdfast("job", "retry", "--queue", queue, "--type", "a", "--dry-run")
    assert (told.returncode, sorted(told.stdout.split())) == (0, sorted(map(str, dead[:2])))
    assert "would retry 2 jobs" in told.stderr
    assert states(witness, dead) == ["dead"] * 3
    assert holdfast("job", "retry", "--queue", queue, "--type", "a").returncode == 2, "it wants --yes"
    done = holdfast("job", "retry", "--queue", queue, "--type", "a", "--yes")
    assert (done.returncode, states(witness, dead)) == (0, ["ready", "ready", "dead"])
    assert "done, 2 of 2 jobs" in done.stderr


def test_a_group_of_failures_is_listed_and_taken_exactly(holdfast, witness, queue, dead):
    key = {group.error: group.key for group in witness.failures(queue).groups}["timeout"]
    shown = holdfast("failures", "--group", key)
    assert str(dead[0]) in shown.stdout
    assert "timeout" in shown.stdout
    told = holdfast("job", "retry", "--group", key, "--dry-run")
    assert (told.returncode, told.stdout.split()) == (0, [str(dead[0]), "timeout"])
    assert holdfast("job", "retry", "--group", key, "--type", "t", "--yes").returncode == 2
    assert holdfast("failures", "--group", key, "--queue", queue).stdout == shown.stdout
    assert holdfast("job", "retry", "--group", key, "--queue", queue, "--dry-run").stdout == told.stdout
    done = holdfast("job", "retry", "--group", key, "--yes")
    assert (done.returncode, states(witness, dead)) == (0, ["ready", "dead", "dead"])
    assert holdfast("job", "retry", "--group", key, "--yes").returncode in (0, 4)
    assert holdfast("job", "delete", "--group", "no-such-key", "--yes").returncode == 4


def test_an_operation_is_started_once_by_its_key_and_about_what_is_older(holdfast, witness, queue, dead):
    words = (
        "operation",
        "start",
        "retry",
        "--queue",
        queue,
        "--older",
        "0s",
        "--yes",
        "--wait",
        "--idempotency-key",
        f"{queue}-1",
    )
    first, again = holdfast(*words), holdfast(*words)
    assert (first.returncode, again.returncode) == (0, 1), again.stderr
    assert "idempotency_mismatch" in again.stderr, "another moment is another request"
    assert states(witness, dead) == ["ready"] * 3
    words = ("operation", "start", "retry", "--queue", queue, "--yes", "--idempotency-key", f"{queue}-2")
    assert holdfast(*words).stdout == holdfast(*words).stdout
    assert holdfast("operation", "start", "retry", "--queue", queue, "--older", "1h", "--dry-run").stdout.strip() == "0"


def test_an_error_is_looked_for_in_the_last_one_and_in_nothing_else(holdfast, witness, queue, dead):
    other = witness.enqueue(queue, "boom", type="c").id
    (job,) = witness.lease(queue)
    witness.fail(job.lease.token, "something else", retry=False)
    told = holdfast("job", "delete", "--queue", queue, "--state", "dead", "--error", "boom", "--dry-run")
    assert told.stdout.split() == [str(dead[2])]
    assert other not in told.stdout.split()


def test_age_limit_and_states_are_filters_too(holdfast, witness, queue, dead):
    assert "no matching job" in holdfast("job", "retry", "--queue", queue, "--older", "1h", "--yes").stderr
    assert len(holdfast("job", "retry", "--queue", queue, "--older", "0ms", "--limit", 2, "--dry-run").stdout.split()) == 2
    waits, ready = witness.enqueue(queue, delay_ms=60_000).id, witness.enqueue(queue).id
    assert holdfast("job", "cancel", "--queue", queue, "--state", "scheduled", "--yes").returncode == 0
    assert states(witness, [waits, ready]) == ["cancelled", "ready"]
    done = holdfast("job", "delete", "--queue", queue, "--state", "cancelled", "--state", "dead", "--yes", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["state"], one["done"]) for one in told] == [("done", 1), ("done", 3)]
    assert [job.id for job in witness.jobs(queue=queue)] == [ready]


def test_the_server_does_it_at_a_pace_and_the_command_steers_it(holdfast, witness, queue, dead):
    begun = holdfast("job", "retry", "--queue", queue, "--per-s", "0.01", "--no-wait", "--yes")
    assert begun.returncode == 0, begun.stderr
    number = begun.stdout.strip()
    assert "paused" in holdfast("operation", "pause", number).stdout
    assert witness.operation(int(number)).state == "paused"
    assert number in holdfast("operation", "list").stdout
    assert json.loads(holdfast("operation", "show", number).stdout)["filter"]["queue"] == queue
    assert "running" in holdfast("operation", "resume", number).stdout
    assert holdfast("operation", "rate", number).returncode == 0
    waited = holdfast("operation", "wait", number)
    assert (waited.returncode, "done, 3 of 3 jobs" in waited.stdout) == (0, True), waited
    assert states(witness, dead) == ["ready"] * 3
    refused = holdfast("operation", "cancel", number)
    assert (refused.returncode, "[wrong_state" in refused.stderr) == (1, True)
    assert holdfast("operation", "show", "999999999").returncode == 4


def test_an_operation_is_started_by_its_own_command(holdfast, witness, queue, dead):
    assert holdfast("operation", "start", "retry").returncode == 2, "all jobs have to be asked for"
    for option in ("--queue", "--type", "--tag", "--text", "--error"):
        empty = holdfast("operation", "start", "delete", "--state", "dead", option, "", "--yes")
        assert (empty.returncode, "it is empty" in empty.stderr) == (2, True), (option, empty.stderr)
    assert states(witness, dead) == ["dead"] * 3
    assert holdfast("operation", "start", "retry", "--queue", queue, "--dry-run").stdout == "3\n"
    done = holdfast("operation", "start", "move", "--queue", queue, "--state", "dead", "--to", f"{queue}.to", "--wait", "--yes")
    assert done.returncode == 0, done.stderr
    assert len(list(witness.jobs(queue=f"{queue}.to"))) == 3
    assert holdfast("operation", "start", "fly", "--all", "--yes").returncode == 2


@pytest.mark.parametrize("name", ["--queue", "--type", "--tag", "--text", "--error"])
@pytest.mark.parametrize("verb", ["retry", "cancel", "promote", "release", "delete", "move", "settle"])
def test_a_filter_that_is_empty_does_not_stand_for_all_jobs(verb, name):
    """As `--text "$TEXT"` is, where nobody has set the variable; no server has to be asked."""
    more = {"move": ["--to", "q"], "settle": ["--as", "done", "--reason", "r"], "delete": ["--state", "dead"]}.get(verb, [])
    said = CliRunner().invoke(commands, [verb, name, "", *more, "--yes", "--url", "http://127.0.0.1:1"])
    assert (said.exit_code, "it is empty" in said.output) == (2, True), said.output


def test_a_push_says_what_to_do_if_its_key_is_taken(holdfast, witness, queue):
    given = ("job", "push", queue, "--unique-key", "u", "--delay", "1h")
    first = holdfast(*given, "1").stdout
    assert holdfast(*given, "2", "--on-conflict", "existing").stdout == first
    assert holdfast(*given, "3", "--on-conflict", "debounce", "--debounce-max", "2h").stdout == first
    assert witness.job(int(first)).payload == 3
    assert holdfast(*given, "4").returncode == 1


def test_meta_is_given_and_filtered_by(holdfast, witness, queue):
    first = holdfast("job", "push", queue, "--meta", "tenant=7", "--meta", "url=a=b").stdout.strip()
    second = holdfast("job", "push", queue, "--meta", "tenant=8").stdout.strip()
    assert witness.job(int(first)).meta == {"tenant": "7", "url": "a=b"}
    assert json.loads(holdfast("job", "ls", "--queue", queue, "--meta", "url=a=b", "--json").stdout)["id"] == int(first)
    assert holdfast("job", "cancel", "--meta", "tenant=8", "--yes").returncode == 0
    assert states(witness, [int(first), int(second)]) == ["ready", "cancelled"]
    for command in (("push", queue), ("ls",), ("cancel", "--yes")):
        twice = holdfast("job", *command, "--meta", "tenant=7", "--meta", "tenant=9")
        assert (twice.returncode, "'tenant' is given twice" in twice.stderr) == (2, True), twice
    wrong = holdfast("job", "ls", "--meta", "tenant")
    assert (wrong.returncode, "'tenant' is not NAME=VALUE" in wrong.stderr) == (2, True)


def test_leases_are_taken_back_by_id_and_by_filter(holdfast, witness, queue):
    ids = [witness.enqueue(queue, n).id for n in range(3)]
    held = {job.id: job.lease.token for job in witness.lease(queue, max=3)}
    told = holdfast("job", "release", "--queue", queue, "--dry-run")
    assert sorted(told.stdout.split()) == sorted(map(str, ids))
    assert states(witness, ids) == ["leased"] * 3
    assert holdfast("job", "release", ids[0], "--yes").stdout == f"{ids[0]} ready\n"
    with pytest.raises(LeaseLost):
        witness.extend(held[ids[0]])
    assert holdfast("job", "release", "--queue", queue, "--yes").returncode == 0
    assert states(witness, ids) == ["ready"] * 3
    refused = holdfast("job", "release", ids[0], "--yes")
    assert (refused.returncode, "[wrong_state" in refused.stderr) == (1, True)


def test_jobs_are_moved_by_id_and_by_filter(holdfast, witness, queue):
    ids = [receipt.id for receipt in witness.enqueue_many(NewJob(queue=queue, payload=n, tags=["x"]) for n in range(3))]
    moved = holdfast("job", "move", ids[0], "--to", f"{queue}.to")
    assert moved.returncode == 0, moved.stderr
    (there,) = witness.jobs(queue=f"{queue}.to")
    assert moved.stdout == f"{ids[0]} is {there.id} of {queue}.to\n"
    assert (there.payload, there.tags) == (0, ["x"])
    assert holdfast("job", "move", "--queue", queue, "--to", f"{queue}.to", "--yes").returncode == 0
    assert sorted(job.payload for job in witness.jobs(queue=f"{queue}.to")) == [0, 1, 2]
    assert holdfast("job", "move", ids[0], "--to", "q").returncode == 4
    refused = holdfast("job", "move", there.id, "--to", f"{queue}.to")
    assert (refused.returncode, "[invalid_request: queue]" in refused.stderr) == (1, True)
    assert witness.move(there.id, queue).queue == queue


def test_a_job_in_quarantine_is_settled_in_one_step_by_evidence(holdfast, witness, queue):
    witness.set_queue(queue, max_crashes=1)
    ids = [witness.enqueue(queue, n).id for n in range(3)]
    for job in witness.lease(queue, max=3):
        witness.fail(job.lease.token, "killed", crashed=True)
    assert {witness.job(each).reason for each in ids} == {"crashed"}
    done = holdfast("job", "settle", ids[0], "--as", "done", "--reason", "the bank has TX-81", "--result", '{"tx": 81}')
    assert (done.returncode, done.stdout) == (0, f"{ids[0]} concluded\n")
    job = witness.job(ids[0])
    assert (job.state, job.reason, job.result, job.attempt) == ("concluded", "settled: the bank has TX-81", {"tx": 81}, 1)
    assert witness.result(ids[0]) == {"tx": 81}
    assert holdfast("job", "settle", ids[0], "--as", "failed", "--reason", "no").returncode == 1
    told = holdfast("job", "settle", "--queue", queue, "--as", "failed", "--reason", "never", "--dry-run")
    assert sorted(told.stdout.split()) == sorted(map(str, ids[1:]))
    holdfast("job", "settle", "--queue", queue, "--as", "failed", "--reason", "never", "--yes")
    assert [(witness.job(each).state, witness.job(each).reason) for each in ids[1:]] == [("dead", "settled: never")] * 2
    assert "settled: never" in holdfast("job", "why", ids[1]).stdout
    assert witness.retry(ids[1]).state == "ready"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "cancelled", "reason": "x"}, "outcome"),
        ({"outcome": "dead", "reason": ""}, "reason"),
        ({"outcome": "dead", "reason": "x" * 1_001}, "reason"),
        ({"outcome": "dead", "reason": "a\0b"}, "reason"),
        ({"outcome": "concluded"}, "reason"),
        ({"outcome": "concluded", "reason": "x", "other": 1}, "other"),
    ],
)
def test_what_settles_a_job_is_checked(shared, witness, queue, body, field):
    job = witness.enqueue(queue).id
    said = httpx.post(f"{shared.url}/v1/jobs/{job}/settle", json=body)
    assert (said.status_code, said.json()["field"]) == (400, field), said.text
    assert witness.job(job).state == "ready"


def test_the_page_settles_too(shared, witness, queue):
    job = witness.enqueue(queue).id
    with httpx.Client(base_url=shared.url, headers={"Origin": shared.url}) as browser:
        page = browser.get(f"/web/jobs/{job}")
        assert "/settle" in page.text
        token = (
            page.text.partition('name="token" value="')[2].partition('"')[0]
            or page.text.partition('value="')[2].partition('"')[0]
        )
        names = [part.partition('"')[0] for part in page.text.split('type="hidden" name="')[1:]]
        form = {"outcome": "concluded", "reason": "seen by hand", **dict.fromkeys(names[:1], token)}
        said = browser.post(f"/web/jobs/{job}/settle", data=form, follow_redirects=False)
    assert said.status_code in (302, 303), said.text[:500]
    assert (witness.job(job).state, witness.job(job).reason) == ("concluded", "settled: seen by hand")


# Numbers that Python can't hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAKEN)
def test_a_payload_that_python_cannot_hold_is_shown_as_it_is_and_handed_to_programs(holdfast, shared, witness, queue, name):
    job = put(shared, queue, TAKEN[name])
    good = put(shared, queue, "7")
    bare = TAKEN[name].replace(" ", "")
    assert bare in holdfast("job", "get", job).stdout.replace("\n", "").replace(" ", "")
    assert bare in holdfast("job", "get", job, "--json").stdout.replace(" ", "")
    assert len(holdfast("job", "ls", "--queue", queue, "--json").stdout.splitlines()) == 2
    assert bare in holdfast("job", "ls", "--queue", queue, "-o", "id,payload").stdout.replace(" ", "")
    ran = holdfast("worker", "exec", "--queue", queue, "--until-empty", "--", "cat")
    assert ran.returncode == 0, ran.stderr
    assert states(witness, [job, good]) == ["concluded", "concluded"]
    assert bytes(witness.job(job).result_json).decode() == TAKEN[name]
    assert holdfast("job", "wait", job).stdout.replace(" ", "") == f"{bare}\n"
    tail = holdfast("job", "tail", job, good)
    assert (tail.returncode, bare in tail.stdout.replace(" ", "")) == (0, True)
    assert holdfast("job", "push", f"{queue}.new", "-", stdin=TAKEN[name]).returncode == 0
    (new,) = witness.jobs(queue=f"{queue}.new")
    assert bytes(new.payload_json).decode() == TAKEN[name]


# Lines that break off ----------------------------------------------------------------------------------------------------


def key_of(stderr):
    return stderr.partition("--idempotency-key ")[2].split()[0]


def payloads(witness, queue):
    return sorted(job.payload for job in witness.jobs(queue=queue, page=1_000))


def test_a_bad_line_says_what_is_in_and_the_mended_input_puts_the_rest_and_nothing_twice(holdfast, witness, queue):
    lines = [str(n) for n in range(2_500)]
    broken = [*lines[:1_700], "not json", *lines[1_701:]]
    first = holdfast("job", "push", queue, "--ndjson", stdin="\n".join(broken))
    assert first.returncode == 2
    assert "line 1701 is not JSON" in first.stderr
    assert "1,000 jobs are enqueued, all of lines 1 to 1,000 among them" in first.stderr
    assert len(first.stdout.split()) == 1_000
    again = holdfast("job", "push", queue, "--ndjson", "--idempotency-key", key_of(first.stderr), stdin="\n".join(lines))
    assert (again.returncode, len(again.stdout.split())) == (0, 2_500)
    assert payloads(witness, queue) == list(range(2_500))


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_an_answer_that_is_lost_says_how_to_go_on(shared, tmp_path, witness, queue, cut):
    proxy = Proxy(shared.port)
    proxy.plan.extend([PASS] * cut + [CUT] * 1_000)
    lines = "\n".join(str(n) for n in range(2_500))
    first = call(proxy.url, tmp_path, "job", "push", queue, "--ndjson", "--deadline", "1s", stdin=lines)
    proxy.close()
    assert first.returncode == 3
    assert f"at least {cut * 1_000:,} jobs are enqueued" in first.stderr
    key = key_of(first.stderr)
    again = call(shared.url, tmp_path, "job", "push", queue, "--ndjson", "--idempotency-key", key, stdin=lines)
    assert again.returncode == 0, again.stderr
    assert payloads(witness, queue) == list(range(2_500))


def test_a_full_queue_says_what_is_in(holdfast, witness, queue):
    witness.set_queue(queue, capacity_jobs=1_500)
    first = holdfast("job", "push", queue, "--ndjson", stdin="\n".join(str(n) for n in range(2_500)))
    assert (first.returncode, "[queue_full" in first.stderr) == (1, True)
    assert "1,000 jobs are enqueued, all of lines 1 to 1,000 among them" in first.stderr


def test_ctrl_c_says_what_is_in(shared, witness, queue):
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *HOLDFAST, "job", "push", queue, "--ndjson"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(shared.url),
    )
    assert process.stdin is not None
    process.stdin.write(b"1\n" * 1_000)
    process.stdin.flush()
    until(lambda: any(each.name == queue and each.jobs.ready == 1_000 for each in witness.queues()), "a chunk is enqueued")
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 10)
    process.send_signal(signal.SIGINT)
    process.stdin = None
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted: " in err
    assert b"Traceback" not in err


def test_jobs_are_found_and_cancelled_by_a_value_in_their_payload(holdfast, witness, queue):
    mine, other = (witness.enqueue(queue, {"order": {"id": number}}).id for number in (42, 43))
    assert holdfast("job", "ls", "--queue", queue, "--field", "order.id=42", "-o", "id").stdout.split() == ["ID", str(mine)]
    done = holdfast("job", "cancel", "--queue", queue, "--field", "order.id=42", "--yes")
    assert (done.returncode, states(witness, [mine, other])) == (0, ["cancelled", "ready"])
    wrong = holdfast("job", "ls", "--field", "order..id=42")
    assert (wrong.returncode, "names or places" in wrong.stderr) == (1, True)


def test_the_errors_of_a_page_of_jobs_are_asked_for_once(shared, witness, queue, dead):
    proxy = Proxy(shared.port)
    try:
        columns = ["job", "ls", "--queue", queue, "-o", "id,error"]
        listed = subprocess.run(
            [*HOLDFAST, *columns], env=environment(proxy.url), capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        proxy.close()
    rows = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines()[1:])
    assert rows == {str(dead[0]): "timeout", str(dead[1]): "timeout while talking", str(dead[2]): "boom"}
    assert len([request for request in proxy.requests if b"/v1/jobs" in request]) == 1


def test_a_cancel_is_undone_exactly(holdfast, witness, queue):
    ids = [witness.enqueue(queue, type=kind, delay_ms=delay).id for kind, delay in (("a", None), ("a", 60_000), ("b", None))]
    witness.cancel(ids[2])
    done = holdfast("job", "cancel", "--queue", queue, "--yes")
    assert (done.returncode, states(witness, ids)) == (0, ["cancelled"] * 3)
    number = done.stderr.rsplit("holdfast operation undo ", 1)[1].strip()
    undone = holdfast("operation", "undo", number)
    assert (undone.returncode, states(witness, ids)) == (0, ["ready", "scheduled", "cancelled"]), undone.stderr
    assert "2 of 2 jobs" in undone.stdout
    assert holdfast("job", "restore", ids[2]).stdout.strip() == f"{ids[2]} ready"
    refused = holdfast("job", "restore", ids[2])
    assert (refused.returncode, "can't be restored: wrong_state" in refused.stderr) == (1, True)
    wrong = holdfast("operation", "undo", undone.stdout.split()[1].rstrip(":"))
    assert (wrong.returncode, "no cancel that has ended" in wrong.stderr) == (2, True)


def die(witness, queue: str, reason: str) -> int:
    witness.enqueue(queue)
    (job,) = witness.lease(queue)
    witness.fail(job.lease.token, reason, retry=False)
    return job.id


@pytest.mark.parametrize("command", [("job", "delete"), ("operation", "start", "delete", "--wait")])
def test_what_comes_while_the_question_is_read_is_left_alone(terminal, witness, queue, command):
    for _ in range(2):
        die(witness, queue, "boom")
    asked = terminal(*command, "--queue", queue, "--state", "dead")
    asked.read_until("elete 2 jobs (dead)? [y/N]")
    later = die(witness, queue, "boom")
    asked.press("y\n")
    asked.read_until("done, 2 of 2 jobs")
    assert asked.end() == 0
    assert [job.id for job in witness.jobs(queue=queue, state="dead")] == [later]


def test_a_job_of_a_group_that_dies_again_while_the_question_is_read_is_left_alone(terminal, witness, queue):
    _, again = (die(witness, queue, "boom") for _ in range(2))
    (group,) = witness.failures(queue).groups
    asked = terminal("job", "delete", "--group", group.key)
    asked.read_until("elete 2 jobs of")
    asked.read_until("[y/N]")
    witness.retry(again)
    (job,) = witness.lease(queue)
    witness.fail(job.lease.token, "another error", retry=False)
    asked.press("y\n")
    asked.read_until("1 skipped: changed")
    assert asked.end() == 0
    assert [job.id for job in witness.jobs(queue=queue, state="dead")] == [again]


def test_a_lease_that_begins_while_the_question_is_read_is_not_taken_back(terminal, witness, queue):
    for _ in range(3):
        witness.enqueue(queue)
    first, second = witness.lease(queue, max=2)
    asked = terminal("job", "release", "--queue", queue)
    asked.read_until("elease 2 jobs (leased)? [y/N]")
    witness.release_lease(second.id, second.attempt)
    again = {job.id for job in witness.lease(queue, max=2)}
    asked.press("y\n")
    asked.read_until("1 of 2 jobs, 1 skipped: changed")
    assert asked.end() == 0
    assert {job.id for job in witness.jobs(queue=queue, state="leased")} == again
    assert (second.id in again, first.id in again) == (True, False)


def test_a_question_with_an_idempotency_key_can_be_asked_and_answered_again(terminal, witness, queue):
    die(witness, queue, "boom")
    for _ in range(2):
        asked = terminal("operation", "start", "delete", "--queue", queue, "--state", "dead", "--idempotency-key", queue)
        asked.read_until("(dead)? [y/N]")
        asked.press("y\n")
        assert asked.end() == 0, asked.said
    assert len([one for one in witness.operations() if one.filter.get("queue") == queue]) == 1


def test_no_lease_is_taken_back_where_those_that_were_counted_ended_before_they_were_listed(
    shared, witness, queue, monkeypatch
):
    witness.enqueue(queue)
    (job,) = witness.lease(queue)
    listed = Client.jobs

    def late(client: Client, **given):
        if witness.job(job.id).state == "leased":
            witness.conclude(job.lease.token)
        return listed(client, **given)

    monkeypatch.setattr(Client, "jobs", late)
    said = CliRunner().invoke(commands, ["release", "--queue", queue, "--url", shared.url])
    assert (said.exit_code, "no matching job is leased" in said.output) == (0, True), said.output
