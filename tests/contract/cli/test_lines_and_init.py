"""More of a shell: jobs line by line, a queue that is waited for, and a config file to begin with."""

import json
import tomllib
from dataclasses import fields

from holdfast.config import Config, load


def test_jobs_with_options_of_their_own_come_line_by_line(holdfast, witness, queue):
    lines = [{"payload": {"n": 1}}, {"type": "b", "delay_ms": 60_000, "tags": ["x"]}, {"payload": 3, "queue": f"{queue}-2"}]
    done = holdfast("job", "push", queue, "--jobs", "--type", "a", stdin="".join(json.dumps(line) + "\n" for line in lines))
    jobs = [witness.job(int(each)) for each in done.stdout.split()]
    assert [(job.queue, job.type, job.state) for job in jobs] == [
        (queue, "a", "ready"),
        (queue, "b", "scheduled"),
        (f"{queue}-2", "a", "ready"),
    ]
    assert [job.payload for job in jobs] == [{"n": 1}, None, 3]
    assert holdfast("job", "push", queue, "1", "--jobs").returncode == 2


def test_a_drained_queue_is_waited_for(holdfast, witness, queue):
    waiting = witness.enqueue(queue, 1)
    timed_out = holdfast("queue", "drain", queue, "--timeout", "50ms")
    assert (timed_out.returncode, "1 job left (1 ready, 0 running)" in timed_out.stderr) == (5, True)
    (job,) = witness.lease(queue)
    assert job.id == waiting.id
    witness.enqueue(queue, 2)
    assert holdfast("queue", "drain", queue, "--running", "--timeout", "50ms").returncode == 5
    assert witness.queue(queue).paused
    witness.conclude(job.lease.token)
    done = holdfast("queue", "drain", queue, "--running", "--timeout", "10s")
    assert (done.returncode, done.stdout) == (0, f"{queue} is drained\n")


def test_a_config_file_has_every_setting_explained_and_is_what_it_says(holdfast, tmp_path):
    file = tmp_path / "holdfast.toml"
    made = holdfast("init", str(file), "--port", "4700", "--allowed-hosts", "a.example,b.example")
    assert (made.returncode, f"holdfast serve --config {file}" in made.stderr) == (0, True), made.stderr
    loaded = load({}, file)
    assert {name for name, origin in loaded.origins.items() if origin == "file"} == {"port", "allowed_hosts"}
    assert (loaded.config.port, loaded.config.allowed_hosts) == (4700, ("a.example", "b.example"))
    names = [setting.name for setting in fields(Config)]
    uncommented = "\n".join(line.removeprefix("# ") for line in file.read_text().splitlines() if " = " in line)
    written = tomllib.loads("\n".join(line for line in uncommented.splitlines() if line.partition(" = ")[0] in names))
    assert written.keys() == set(names)
    before = file.read_text()
    again = holdfast("init", str(file))
    assert (again.returncode, "is not overwritten" in again.stderr, file.read_text()) == (1, True, before)
    assert holdfast("init", "-").stdout.count("# port = 4653") == 1
    assert holdfast("init", str(tmp_path / "x.toml"), "--port", "70000").returncode == 2
    assert not (tmp_path / "x.toml").exists()


def test_the_jobs_of_a_worker_are_taken_back(holdfast, witness, queue):
    worker = witness.register_worker([queue])
    for _ in range(2):
        witness.enqueue(queue, 1)
    held = witness.lease(queue, max=2, worker=worker.id)
    assert "would take 2 jobs back" in holdfast("worker", "release", worker.id, "--dry-run").stderr
    done = holdfast("worker", "release", worker.id, "--yes")
    assert (done.returncode, done.stdout) == (0, f"2 taken back from {worker.id}\n")
    assert [(witness.job(job.id).state, witness.job(job.id).crashes) for job in held] == [("ready", 0)] * 2
    assert "runs no job" in holdfast("worker", "release", worker.id, "--yes").stderr
    assert holdfast("worker", "release", "no-such-worker", "--yes").returncode == 4


def test_a_lease_that_another_worker_got_meanwhile_is_not_taken_back(terminal, witness, queue):
    worker = witness.register_worker([queue])
    first, second = (witness.enqueue(queue, n).id for n in range(2))
    held = witness.lease(queue, max=2, worker=worker.id)
    asked = terminal("worker", "release", worker.id)
    asked.read_until("Take 2 jobs back")
    witness.release(held[0].lease.token)
    witness.lease(queue, worker="another")
    asked.press("y\r")
    asked.read_until("1 taken back")
    assert (witness.job(first).state, witness.job(first).worker) == ("leased", "another")
    assert witness.job(second).state == "ready"
