"""The last release beside this version, on one PostgreSQL under load, while nodes and workers are replaced one after the other.

Nothing is lost, no attempt runs twice, no caller sees an error that its client does not repeat; what the release still needs is taken away only when its last node
is gone. Every later version has to keep this passing.
"""

import itertools
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from cluster.ports import free_port
from cluster.postgres import server as postgres
from holdfast import __version__
from holdfast.units import counted, is_or_are
from tests.system.upgrade.released import environment, next_version
from tests.system.whole.calls import metric
from tests.system.whole.servers import Output, until

pytestmark = pytest.mark.long(60)

NEWER = ["this version", "this version with a step more"]


@pytest.fixture(scope="module")
def made_database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as one:
        yield one


@pytest.fixture
def database(made_database):
    """Without a schema."""
    made_database.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'holdfast%'")
    made_database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    return made_database


@pytest.fixture(params=NEWER)
def newer(request, tmp_path):
    """The environment of the version that comes in."""
    return {} if request.param == NEWER[0] else next_version(tmp_path / "next")


class Caller:
    """One process of `callers.py`."""

    def __init__(self, what, name, urls, env):
        program = Path(__file__).with_name("callers.py")
        self._process = subprocess.Popen(
            [sys.executable, program, what, name, ",".join(urls)],
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.out, self.err = Output(self._process.stdout), Output(self._process.stderr)

    @property
    def pairs(self):
        """What it has told."""
        return [tuple(line.split()) for line in self.out.lines]

    def goes_on(self, count=20):
        """Wait for so many more."""
        goal = len(self.out.lines) + count
        until(lambda: len(self.out.lines) >= goal or self._process.poll() is not None, "a caller goes on")
        assert self._process.poll() is None, self.err.text

    def end(self):
        """It ends well when it is asked to."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(90) == 0, self.err.text  # a call may be under way, which is repeated while a node is replaced
        self.out.wait_for_end()
        self.err.wait_for_end()

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def calling():
    """Makes callers."""
    made = []

    def start(*what):
        made.append(Caller(*what))
        return made[-1]

    yield start
    for one in made:
        one.kill()


class Prober:
    """Calls both nodes by plain HTTP, and keeps every status that is not a success."""

    def __init__(self, urls):
        self.refused = []
        self.calls = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(urls,), daemon=True)
        self._thread.start()

    def _run(self, urls):
        for number in itertools.count():
            if self._over.wait(0.05):
                return
            url = urls[number % len(urls)]
            try:
                answers = [
                    httpx.post(f"{url}/v1/queues/probed/jobs", json={"payload": number}, trust_env=False, timeout=30),
                    httpx.get(f"{url}/v1/queues", trust_env=False, timeout=30),
                    httpx.post(f"{url}/v1/leases", json={"queues": ["probed"]}, trust_env=False, timeout=30),
                ]
            except httpx.TransportError:  # it is being replaced
                continue
            self.calls += len(answers)
            self.refused += [(answer.status_code, answer.text) for answer in answers if answer.status_code >= 300]

    def end(self):
        self._over.set()
        self._thread.join(40)
        assert not self._thread.is_alive()
        strange = [
            (status, text) for status, text in self.refused if status != 503 or json.loads(text)["code"] == "outcome_unknown"
        ]
        assert strange == []
        assert self.calls > 100


def command(env, *words, into=None):
    """A command of that version."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", *words],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if into is not None:
        into.write_text(done.stdout)
    return done


def versions(database):
    """The schema of the database, and the oldest that still may serve."""
    ((found,),) = database.sql("SELECT (version, min_compatible)::text FROM holdfast.schema_version", database="holdfast")
    return tuple(json.loads(f"[{found[1:-1]}]"))


class Rolling:
    """Two nodes of one of the versions each, at ports that stay."""

    def __init__(self, serving, database, tmp_path):
        self._serving, self._database, self._folder = serving, database, tmp_path
        self._ports = [free_port(), free_port()]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self.nodes = [None, None]
        self._started = itertools.count()

    def replace(self, number, env):
        """End the node in good order, and start one in its place."""
        if self.nodes[number] is not None:
            self.stop(self.nodes[number])
        options = ("--store", self._database.url(), "--port", str(self._ports[number]))
        at = self._folder / f"node{next(self._started)}"
        self.nodes[number] = self._serving(*options, at=at, env=env).start()

    def stop(self, server):
        with server.client() as client:
            page = client.get("/metrics").text
        server.send(signal.SIGTERM)
        assert server.ended() == 0
        assert metric(page, "holdfast_http_requests_total", status="500") == 0
        assert "Traceback" not in server.err.text, server.err.text


def all_go_on(*callers, count=20):
    for one in callers:
        one.goes_on(count)


def all_was_done_and_nothing_twice(server, producers, workers):
    """What was acknowledged is concluded, each attempt ran once, and a call that is repeated now is answered as it was then."""
    acknowledged = {int(job): key for producer in producers for job, key in producer.pairs}
    assert len(acknowledged) == sum(len(producer.pairs) for producer in producers)
    with server.client() as client:

        def counts():
            return client.get("/v1/queues/load").json()["jobs"]

        until(lambda: counts()["concluded"] >= len(acknowledged), "all is done")
        workers[-1].end()
        assert counts()["concluded"] == len(acknowledged), "a call that was repeated made a second job"
        assert {counts()[state] for state in ("dead", "cancelled", "ready", "leased", "scheduled")} == {0}
        for job, key in list(acknowledged.items())[:: len(acknowledged) // 40]:
            found = client.get(f"/v1/jobs/{job}").json()
            assert (found["state"], found["payload"], found["result"]) == ("concluded", {"key": key}, {"key": key})
            call = {"payload": {"key": key}, "tags": [key.split("-")[0]]}
            again = client.post("/v1/queues/load/jobs", json=call, headers={"Idempotency-Key": key})
            assert (again.status_code, again.json()["id"]) == (200, job), again.text
    attempts = [pair for worker in workers for pair in worker.pairs]
    assert {int(job) for job, _ in attempts} == set(acknowledged)
    assert len(set(attempts)) == len(attempts), "an attempt ran twice"


def the_release_takes_in_what_is_exported(newer, released, url, tmp_path):
    file, back = tmp_path / "all.ndjson", tmp_path / "back.db"
    assert command(newer, "export", "--store", url, into=file).returncode == 0
    taken = command(released.env, "import", str(file), "--store", f"sqlite:///{back}")
    assert taken.returncode == 0, taken.stderr
    count = sum(1 for line in file.read_text().splitlines() if line.startswith('{"job"'))
    assert f"{counted(count, 'job')} {is_or_are(count)} imported" in taken.stderr
    assert command(released.env, "check", str(back)).returncode == 0


def test_nodes_and_workers_roll_from_the_release_to_this_version_under_load(
    released, newer, database, serving, calling, tmp_path
):
    rolling = Rolling(serving, database, tmp_path)
    for number in (0, 1):
        rolling.replace(number, released.env)
    (old, _) = before = versions(database)
    assert old == released.release.postgresql
    producers = [calling("produce", "old", rolling.urls, released.env)]
    workers = [calling("work", "old", rolling.urls, released.env)]
    prober = Prober(rolling.urls)
    all_go_on(*workers, count=50)

    plan = json.loads(command(newer, "upgrade", "--check", "--json", "--store", database.url()).stdout)
    assert plan["nodes"] == [{"schema": old, "versions": released.release.version, "nodes": 2, "stay": True}]
    assert {step["older_nodes"] for step in plan["steps"]} <= {"stay"}
    assert plan["obstacles"] == []
    assert versions(database) == before
    new = plan["newest"]

    # The first node of the newer version does what is to be done before; callers of the release go on, at both.
    rolling.replace(0, newer)
    assert versions(database) == (new, old)
    producers.append(calling("produce", "new", rolling.urls, newer))
    all_go_on(*producers, *workers)
    # A worker of the newer version comes, and that of the release goes: jobs come from nodes of either.
    workers.append(calling("work", "new", rolling.urls, newer))
    all_go_on(*workers)
    workers[0].end()
    all_go_on(workers[1], count=50)
    # The last node of the release may start again. As long as it is there, nothing is taken away from it.
    rolling.replace(1, released.env)
    all_go_on(*producers, workers[1])
    finished = command(newer, "upgrade", "--finish", "--store", database.url())
    still_there = f"Older nodes are connected to the database (1 of Holdfast {released.release.version})"
    assert (finished.returncode, still_there in finished.stderr) == ((1, True) if new > old else (0, False)), finished.stderr
    assert versions(database) == (new, old)
    # Then it goes, and what it needed, too. It is told so when it comes again.
    rolling.replace(1, newer)
    all_go_on(*producers, workers[1])
    finished = command(newer, "upgrade", "--finish", "--store", database.url())
    assert finished.returncode == 0, finished.stderr
    assert versions(database) == (new, new)
    if new > old:
        late = serving("--store", database.url(), at=tmp_path / "late", env=released.env).launch()
        said = late.out.wait_for(f"The database has schema {new}, which Holdfast {__version__} made.")
        assert f"his is Holdfast {released.release.version}, which knows up to {old}. Use the newer Holdfast." in said
        late.kill_all()
    all_go_on(*producers, workers[1])

    for producer in producers:
        producer.end()
    prober.end()
    all_was_done_and_nothing_twice(rolling.nodes[0], producers, workers)
    sound = command(newer, "check", "--store", database.url())
    assert sound.returncode == 0, sound.stdout + sound.stderr
    the_release_takes_in_what_is_exported(newer, released, database.url(), tmp_path)
