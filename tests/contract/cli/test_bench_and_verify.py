"""`holdfast bench` and `holdfast verify`: what they say of a server that keeps its promises, and of one that does not."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from holdfast import Client
from holdfast.errors import HoldfastError
from tests import prefork
from tests.contract.cli.shell import HOLDFAST, call, environment
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Server, until

pytestmark = pytest.mark.long(60)


def started(url: str, *words: str) -> "subprocess.Popen[str]":
    command = [*HOLDFAST, *words]
    return prefork.start(command, env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def concluded(url: str, purpose: str) -> int:
    """How many jobs went through its queue so far."""
    with Client(url, deadline_s=PATIENCE_S) as client:
        return max((each.jobs.concluded for each in client.queues() if f"-{purpose}-" in each.name), default=0)


def queues(url: str, purpose: str) -> list[str]:
    with Client(url, deadline_s=PATIENCE_S) as client:
        return [each.name for each in client.queues() if f"-{purpose}-" in each.name]


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# bench


def test_a_bench_says_how_many_jobs_a_second_went_through_and_leaves_nothing(holdfast, shared):
    for batch in ("1", "20"):
        done = holdfast("bench", "--for", "1s", "--batch", batch, "--json", "--yes")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["durability"]["level"], told["batch"]) == ("disk", int(batch))
        assert told["enqueue"]["jobs"] == told["conclude"]["jobs"] > 0
        assert 0 < told["enqueue"]["p50_ms"] <= told["enqueue"]["p99_ms"] <= told["enqueue"]["max_ms"]
        assert told["conclude"]["jobs_per_s"] == pytest.approx(told["conclude"]["jobs"] / told["seconds"], rel=0.02)
    words = holdfast("bench", "--for", "1s", "--yes").stdout
    assert "durability: disk" in words
    assert "This client used" in words
    assert queues(shared.url, "bench") == []


def test_a_bench_starts_a_server_of_its_own_and_removes_it(holdfast, tmp_path):
    done = holdfast("bench", "--start", "--for", "1s", HOLDFAST_URL="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert "durability: disk" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_store_is_said_to(shared):
    done = call(shared.url, Path("/proc"), "bench", "--start", "--for", "1s")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "holdfast: this folder can't be written: No such file or directory\n"


def test_a_server_at_work_is_not_loaded_unasked(holdfast, witness, queue):
    witness.enqueue(queue, 1)
    (job,) = witness.lease(queue)
    refused = holdfast("bench", "--for", "1s")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "which is at work" in refused.stderr
    witness.conclude(job.lease.token)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_removes_its_queue(shared, number):
    process = started(shared.url, "bench", "--for", "60s", "--yes")
    until(lambda: queues(shared.url, "bench"), "it has begun")
    process.send_signal(number)
    code, out, err = ended(process)
    assert (code, out, queues(shared.url, "bench")) == (130, "", [])
    assert "Traceback" not in err


def test_a_key_that_has_only_some_queues_begins_the_name_as_it_must(tmp_path):
    store = f"sqlite:///{tmp_path}/store/jobs.db"
    (tmp_path / "store").mkdir()

    def key(*words: str) -> str:
        made = [*HOLDFAST, "key", "create", "--store", store, "--name", words[0], "--can", *words[1:]]
        return prefork.run(made, env=environment(""), capture_output=True, text=True, check=True).stdout.strip()

    key("root", "admin")
    team = key("team", "produce,consume,read,manage", "--queues", "team.*")
    server = Server(tmp_path / "store", "--store", store, "--log-level", "error").start()
    try:
        for command in ("bench", "verify"):
            words = (command, "--for", "1s", "--token", team)
            code, _, err = ended(started(server.url, *words))
            assert (code, "lacks the ability manage on the queue" in err) == (1, True), err
            code, _, err = ended(started(server.url, *words, "--prefix", "team.trial"))
            assert code == 0, err
    finally:
        server.destroy()


def test_a_size_that_is_none_is_a_wrong_command(holdfast):
    wrong = holdfast("bench", "--payload", "much")
    assert (wrong.returncode, "must be a size" in wrong.stderr) == (2, True)


# verify


def test_a_sound_server_is_said_to_be_sound_and_nothing_is_left(holdfast, shared):
    before = queues(shared.url, "verify")  # what other tests were to be told about is kept for a look
    done = holdfast("verify", "--for", "2s", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["sound"], told["broken"], told["durability"]) == (0, True, [], ["disk"]), told
    assert told["enqueued"] == told["concluded"] > 20
    assert min(told["repeated"], told["stale_refused"]) > 0
    assert queues(shared.url, "verify") == before
    weak = holdfast("verify", "--for", "1s", "--durability", "replicated")
    assert (weak.returncode, "answers said disk, and not replicated" in weak.stdout) == (1, True)
    assert queues(shared.url, "verify") == before


def again(home: Path, port: int, *options: str) -> Server:
    return Server(home, "--port", str(port), "--log-level", "error", *options).start()


def test_a_server_that_is_killed_in_the_middle_loses_nothing(tmp_path):
    server = Server(tmp_path / "home", "--log-level", "error").start()
    url, port = server.url, server.port
    try:
        process = started(url, "verify", "--for", "8s", "--json")
        for _ in range(2):
            before = concluded(url, "verify")
            until(lambda before=before: concluded(url, "verify") > before + 50, "it is in the middle")
            server.destroy()
            server = again(tmp_path / "home", port)
        code, out, err = ended(process)
        told = json.loads(out)
        assert (code, told["sound"], told["lost"], told["unfinished"]) == (0, True, 0, 0), (told, err)
        assert told["longest_call_s"] > 0.3, "no server starts so fast"
    finally:
        server.destroy()


def test_a_store_that_was_set_back_is_found_out_and_the_queue_is_kept(tmp_path):
    home = tmp_path / "home"
    server = Server(home, "--log-level", "error").start()
    url, port = server.url, server.port
    try:
        process = started(url, "verify", "--for", "8s", "--settle", "20s", "--json")
        until(lambda: concluded(url, "verify") > 20, "it has begun")
        store = home / "holdfast-data" / "jobs.db"
        subprocess.run([*HOLDFAST, "backup", store, tmp_path / "older.db"], env=environment(url), check=True)
        before = concluded(url, "verify")
        until(lambda: concluded(url, "verify") > before + 50, "more was answered than is in the copy")
        server.destroy()
        for each in store.parent.glob("jobs.db*"):
            each.unlink()
        shutil.copyfile(tmp_path / "older.db", store)
        server = again(home, port)
        code, out, err = ended(process)
        told = json.loads(out)
        assert (code, told["sound"]) == (1, False), (told, err)
        assert told["lost"] > 0
        assert any("is not there" in each or "and is not" in each for each in told["broken"])
        assert len(queues(url, "verify")) == 1
        assert "is kept, for a look" in err
    finally:
        server.destroy()


def test_what_memory_loses_was_not_promised(tmp_path):
    options = ("--store", "memory")
    server = Server(tmp_path / "home", "--log-level", "error", *options).start()
    url, port = server.url, server.port
    try:
        process = started(url, "verify", "--for", "6s", "--settle", "20s")
        until(lambda: concluded(url, "verify") > 20, "it has begun")
        server.destroy()
        server = again(tmp_path / "home", port, *options)
        code, out, err = ended(process)
        assert code == 0, (out, err)
        assert "lost with the memory of the server" in out
        assert "BROKEN" not in out
    finally:
        server.destroy()


def test_a_server_that_never_comes_back_is_no_proof_of_anything(tmp_path):
    server = Server(tmp_path / "home", "--log-level", "error").start()
    try:
        process = started(server.url, "verify", "--for", "3s", "--settle", "1s")
        until(lambda: concluded(server.url, "verify") > 20, "it has begun")
    finally:
        server.destroy()
    code, out, err = ended(process)
    assert (code, out) == (3, ""), err
    assert "unreachable" in err
    assert "could not be looked for" in err
    with pytest.raises(HoldfastError), Client(server.url, deadline_s=0.1) as client:
        client.stats()
