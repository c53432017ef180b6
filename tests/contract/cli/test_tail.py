"""`holdfast job tail`: jobs are followed until they have ended, and each step is a line."""

import json
import subprocess

from tests.contract.cli.shell import HOLDFAST, environment
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Output


class Tail:
    """`holdfast job tail` beside a test, whose lines are read as they come."""

    def __init__(self, url, *args):
        self.process = subprocess.Popen(
            [*HOLDFAST, "job", "tail", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(url) | {"PYTHONUNBUFFERED": "1"},
        )
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.out.wait_for_end()
        self.err.wait_for_end()

    def ended(self):
        code = self.process.wait(30)
        self.out.wait_for_end()
        self.err.wait_for_end()
        return code


def test_a_job_is_followed_to_its_end_and_each_step_is_a_line(shared, witness, queue):
    job = witness.enqueue(queue, 1, max_attempts=3).id
    with Tail(shared.url, job) as tail:
        tail.out.wait_for(f"{job}  ready")
        (first,) = witness.lease(queue, worker="anna")
        tail.out.wait_for("attempt 1 by anna")
        witness.extend(first.lease.token)
        witness.extend(first.lease.token, progress={"page": 3})
        tail.out.wait_for('progress {"page":3}')
        witness.fail(first.lease.token, "Traceback …\nout of paper", delay_ms=60_000)
        tail.out.wait_for("out of paper (again at ")
        witness.promote(job)
        tail.out.wait_for("promoted")
        (second,) = witness.lease(queue)
        witness.conclude(second.lease.token, [4])
        tail.out.wait_for("result [4]")
        assert tail.ended() == 0
        words = [line.split(f"{job}  ")[1].split()[0] for line in tail.out.lines]
    assert words == ["ready", "leased", "extended", "failed", "promoted", "leased", "concluded"]


def test_all_jobs_of_a_queue_are_followed_also_those_that_are_put_meanwhile(shared, witness, queue):
    one = witness.enqueue(queue).id
    with Tail(shared.url, "--queue", queue, "--json") as tail:
        tail.out.wait_for(f'"id":{one}')
        two = witness.enqueue(queue, delay_ms=60_000).id
        tail.out.wait_for(f'"id":{two}')
        (job,) = witness.lease(queue)
        witness.conclude(job.lease.token)
        tail.out.wait_for('"event":"concluded"')
        assert tail.process.poll() is None
        witness.cancel(two)
        assert tail.ended() == 5
        assert tail.err.text == "holdfast: 1 job did not end as concluded"
        steps = [json.loads(line) for line in tail.out.lines]
    assert [step["event"] for step in steps if step["id"] == two] == ["enqueued", "cancelled"]
    assert steps[-1]["job"]["state"] == "cancelled"


def test_what_has_ended_is_one_line_and_what_is_deleted_meanwhile_is_gone(shared, holdfast, witness, queue):
    job = witness.enqueue(queue, delay_ms=60_000).id
    with Tail(shared.url, job) as tail:
        tail.out.wait_for("scheduled")
        witness.delete(job)
        assert tail.ended() == 5
        assert tail.out.lines[-1].endswith("gone")
    witness.cancel(second := witness.enqueue(queue).id)
    again = holdfast("job", "tail", second)
    assert (again.returncode, again.stdout.split()[2:]) == (5, [str(second), "cancelled", "cancelled"])
    assert holdfast("job", "tail", job).returncode == 4
    assert holdfast("job", "tail").returncode == 2


def test_a_stream_that_breaks_off_is_opened_anew_and_nothing_is_missed(serve, home, tmp_path):
    """The jobs end while there is no stream."""
    from holdfast import Client  # noqa: PLC0415

    server = serve()
    with Client(server.url, deadline_s=PATIENCE_S) as client:
        jobs = [client.enqueue("q").id for _ in range(2)]
        held = client.lease("q", max=2)
        with Tail(server.url, *jobs) as tail:
            tail.out.wait_for("leased", 2)
            server.kill_all()
            server.gone()
            serve("--port", str(server.port))
            for job in held:
                client.conclude(job.lease.token)
            assert tail.ended() == 0
            assert sum("concluded" in line for line in tail.out.lines) == 2
