"""`holdfast worker exec`: what a program is given, what its end means, and that nothing of it outlives its worker."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import prefork
from tests.contract.cli.shell import HOLDFAST, environment
from tests.system.whole.servers import Server

pytestmark = pytest.mark.long(30)

Exec = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def run(holdfast: Callable[..., Any], queue: str) -> Exec:
    """Runs a script for all that is ready in the test's queue."""

    def call(script: str, *options: Any) -> "subprocess.CompletedProcess[str]":
        done = holdfast("worker", "exec", "--queue", queue, "--until-empty", *options, "--", "sh", "-c", script)
        assert done.returncode == 0, done.stderr
        return done

    return call


@pytest.fixture
def start(shared: Server, queue: str, tmp_path: Path) -> Iterator[Start]:
    """Starts workers that go on."""
    started: list[subprocess.Popen[bytes]] = []

    def call(script: str, *options: Any, stderr: Any = None) -> "subprocess.Popen[bytes]":
        command = [*HOLDFAST, "worker", "exec", "--queue", queue, *map(str, options), "--", "sh", "-c", script]
        started.append(prefork.start(command, cwd=tmp_path, env=environment(shared.url), stderr=stderr))
        return started[-1]

    yield call
    for each in started:
        each.kill()
        each.wait()


def wait_for(what: Callable[[], Any], within_s: float = 30) -> Any:
    until = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.02)
    return found


def pid_in(file: Path) -> int:
    return int(wait_for(lambda: file.exists() and file.read_text().strip()))


def alive(pid: int) -> bool:
    """Whether it runs; a process that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_payload_is_standard_input_and_json_on_standard_output_is_the_result(run, witness, queue):
    job = witness.enqueue(queue, {"to": "ada"}, type="welcome", tags=["a", "b"]).id
    run('printf \'{"got": %s, "env": "%s %s %s %s %s"}\' "$(cat)" '
        '$HOLDFAST_JOB_ID $HOLDFAST_JOB_QUEUE $HOLDFAST_JOB_TYPE $HOLDFAST_JOB_ATTEMPT $HOLDFAST_JOB_TAGS')  # fmt: skip
    done = witness.job(job)
    assert (done.state, done.result) == ("concluded", {"got": {"to": "ada"}, "env": f"{job} {queue} welcome 1 a,b"})


def test_binary_payloads_arrive_byte_for_byte(run, witness, queue, tmp_path):
    body = bytes(range(256)) * 3_000
    job = witness.enqueue(queue, body, content_type="image/png").id
    run("cat > payload; printf '\"%s\"' $HOLDFAST_JOB_CONTENT_TYPE")
    assert (tmp_path / "payload").read_bytes() == body
    assert witness.job(job).result == "image/png"


def test_a_program_that_does_not_read_its_payload_is_none_the_worse(run, witness, queue):
    job = witness.enqueue(queue, b"x" * 1_000_000).id
    run("exit 0")
    assert (witness.job(job).state, witness.job(job).result) == ("concluded", None)


def test_text_is_a_result_where_that_is_asked_for(run, witness, queue):
    jobs = [witness.enqueue(queue).id for _ in range(3)]
    run("echo no json")
    assert witness.job(jobs[0]).result is None
    job = witness.enqueue(queue).id
    run("echo no json", "--result")
    assert witness.job(job).result == "no json\n"
    job = witness.enqueue(queue).id
    assert "seen" in run("echo seen", "--no-result").stdout
    assert witness.job(job).result is None


@pytest.mark.parametrize(
    ("script", "state", "attempt_counts", "reason"),
    [
        ("echo 'out of paper' >&2; exit 3", "scheduled", 1, "out of paper\n(exit code 3)"),
        ("exit 1", "scheduled", 1, "exit code 1"),
        ("echo 'no such user' >&2; exit 65", "dead", 1, "no such user\n(exit code 65)"),
        ("kill -9 $$", "scheduled", 1, "killed by SIGKILL"),
    ],
)
def test_the_exit_code_decides_and_standard_error_is_the_reason(run, witness, queue, script, state, attempt_counts, reason):
    job = witness.enqueue(queue).id
    run(script)
    found = witness.job(job)
    assert (found.state, found.failures, found.crashes) == (state, attempt_counts, 0)
    assert found.errors[0].reason == reason


def test_75_gives_the_job_back_for_later_and_spends_no_try(run, witness, queue):
    job = witness.enqueue(queue).id
    told = run("exit 75", "--later", "1h", "--json")
    found = witness.job(job)
    assert (found.state, found.failures, found.errors) == ("scheduled", 0, [])
    line = json.loads(told.stdout)
    assert (line["id"], line["outcome"], line["exit_code"]) == (job, "released", 75)


def test_other_codes_can_be_chosen(run, witness, queue):
    job = witness.enqueue(queue).id
    run("exit 7", "--dead-code", "7")
    assert witness.job(job).state == "dead"


def test_huge_standard_error_is_read_to_its_end_and_its_end_is_kept(run, witness, queue):
    job = witness.enqueue(queue).id
    run("head -c 30000000 /dev/zero | tr '\\0' 'é' >&2; echo 'the last words' >&2; exit 1")
    reason = witness.job(job).errors[0].reason
    assert reason.endswith("the last words\n(exit code 1)")
    assert len(reason) <= 8_192


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(run, witness, queue, tmp_path):
    job = witness.enqueue(queue).id
    run(
        "sleep 600 & echo $! > child; echo begun >&2; trap '' TERM; wait; wait; sleep 600",
        "--timeout",
        "1s",
        "--kill-after",
        "300ms",
    )
    assert witness.job(job).errors[0].reason == "begun\n(timed out after 1 s)"
    wait_for(lambda: not alive(pid_in(tmp_path / "child")))


def test_what_a_program_leaves_running_ends_with_it(run, witness, queue, tmp_path):
    job = witness.enqueue(queue).id
    run("sleep 600 & echo $! > child")
    assert witness.job(job).state == "concluded"
    wait_for(lambda: not alive(pid_in(tmp_path / "child")))


def test_a_lease_is_kept_while_the_program_runs_for_longer(run, witness, queue):
    job = witness.enqueue(queue).id
    run("sleep 2.5", "--lease", "1s")
    found = witness.job(job)
    assert (found.state, found.attempt, found.crashes) == ("concluded", 1, 0)


def test_a_job_that_is_cancelled_ends_its_program(start, witness, queue, tmp_path):
    job = witness.enqueue(queue).id
    start("trap 'echo told > told; exit 1' TERM; echo $$ > pid; while :; do sleep 0.1; done", "--lease", "1s")
    pid = pid_in(tmp_path / "pid")
    witness.cancel(job)
    assert witness.wait(job, 20).state == "cancelled"
    assert not alive(pid)
    assert (tmp_path / "told").exists()


def test_sigterm_lets_the_program_finish(start, witness, queue, tmp_path):
    job = witness.enqueue(queue).id
    worker = start("echo $$ > pid; sleep 1; echo 7")
    pid_in(tmp_path / "pid")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert (witness.job(job).state, witness.job(job).result) == ("concluded", 7)


def test_sigterm_gives_back_what_does_not_finish_and_no_try_is_spent(start, witness, queue, tmp_path):
    job = witness.enqueue(queue).id
    worker = start("trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done", "--grace", "200ms")
    pid = pid_in(tmp_path / "pid")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    found = witness.job(job)
    assert (found.state, found.failures, found.crashes) == ("ready", 0, 0)
    assert not alive(pid)


@pytest.mark.parametrize("how", ["a second signal", "kill -9"])
def test_a_worker_that_ends_at_once_leaves_no_program_behind(start, witness, queue, tmp_path, how):
    job = witness.enqueue(queue).id
    worker = start(
        # It has its payload only once the worker has told its orphan reaper of it.
        "cat > payload; trap '' TERM; sleep 600 & echo $! > child; echo $$ > pid; wait; wait; sleep 600",
        "--kill-after",
        "300ms",
        "--lease",
        "2s",
        "-v",
        stderr=subprocess.PIPE,
    )
    pid, child = pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")
    if how == "kill -9":
        worker.kill()
    else:
        worker.send_signal(signal.SIGTERM)
        assert worker.stderr is not None
        while b"draining" not in (line := worker.stderr.readline()):
            assert line
        worker.send_signal(signal.SIGTERM)
    worker.wait(10)
    wait_for(lambda: not alive(pid) and not alive(child))
    found = wait_for(lambda: (job_now := witness.job(job)).state == "ready" and job_now)
    assert (found.crashes, found.failures) == (1, 0)


def test_a_program_that_is_not_there_is_refused_at_the_start(holdfast):
    done = holdfast("worker", "exec", "--queue", "q", "--", "./not-there.sh")
    assert done.returncode == 2
    assert "not-there.sh" in done.stderr


def test_a_worker_is_listed_stopped_and_removed(start, holdfast, witness, queue, tmp_path):
    witness.enqueue(queue)
    start("echo $$ > pid; sleep 600", "--name", f"of-{queue}")
    pid_in(tmp_path / "pid")
    lines = [line.split() for line in holdfast("worker", "ls").stdout.splitlines()]
    (mine,) = [line for line in lines if line[1] == f"of-{queue}"]
    assert mine[2:4] == ["running", "1"]
    assert queue in mine
    assert holdfast("worker", "quiet", mine[0]).stdout == f"{mine[0]} is quiet\n"
    assert f"would remove the worker of-{queue}" in holdfast("worker", "delete", mine[0], "--dry-run").stderr
    assert holdfast("worker", "delete", mine[0], "--yes").returncode == 0
    assert holdfast("worker", "quiet", "w-none").returncode == 4


def test_programs_use_the_server_of_their_worker(run, witness, queue):
    witness.enqueue(queue)
    run(f"holdfast job push {queue}-next 5")
    assert [job.payload for job in witness.jobs(queue=f"{queue}-next")] == [5]
