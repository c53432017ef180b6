"""A database that is reached by TLS alone, and shows that it is the one that was meant: `sslmode=verify-full`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.postgres import PostgresServer
from cluster.processes import give
from cluster.programs import Programs, installed
from tests import prefork
from tests.certificates import Authority, Pair
from tests.missing import missing
from tests.system.whole.servers import Server, until

HBA = """host all postgres 127.0.0.1/32 trust
hostssl all holdfast 127.0.0.1/32 {method}
host all all 0.0.0.0/0 reject
"""


def with_tls() -> Programs:
    """An installation that was built with OpenSSL; the wheel's was not."""
    for programs in installed():
        if (
            "openssl"
            in subprocess.run([programs["pg_config"], "--configure"], capture_output=True, text=True, check=True).stdout
        ):
            return programs
    missing("a PostgreSQL with TLS", "apt install postgresql")
    raise AssertionError


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def database(tmp_path_factory, authority):
    """A server whose certificate is for 127.0.0.1, and not for localhost."""
    folder = tmp_path_factory.mktemp("postgres")
    pair = authority.issue("postgres", "127.0.0.1", into=Pair(folder / "server.pem", folder / "server.key"))
    authority_file = folder / "ca.pem"
    authority_file.write_bytes(authority.file.read_bytes())
    files = {"ssl_cert_file": pair.cert, "ssl_key_file": pair.key, "ssl_ca_file": authority_file}
    for file in files.values():
        file.chmod(0o600)
    one = PostgresServer(
        folder, programs=with_tls(), settings={"ssl": "on"} | {name: str(file) for name, file in files.items()}
    )
    give(folder)
    one.create()
    allow(one, "trust")
    one.start()
    yield one
    one.remove()


@pytest.fixture(autouse=True)
def empty(database):
    allow(database, "trust")
    database.sql("SELECT pg_reload_conf()")
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")


def allow(database: PostgresServer, method: str) -> None:
    (database.data / "pg_hba.conf").write_text(HBA.format(method=method))


@pytest.fixture
def url(database, authority):
    def made(host: str = "127.0.0.1", ca: Path = authority.file, **more: object) -> str:
        others = "".join(f"&{name}={value}" for name, value in more.items())
        return f"postgresql://holdfast@{host}:{database.port}/holdfast?sslmode=verify-full&sslrootcert={ca}{others}"

    return made


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(store: str) -> Server:
        started.append(Server(tmp_path / f"home{len(started)}", "--store", store))
        return started[-1].start()

    yield start
    for server in started:
        server.destroy()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return prefork.run([sys.executable, "-m", "holdfast", *words], capture_output=True, text=True, timeout=60, check=False)


def encrypted(database: PostgresServer) -> dict[str, set[bool]]:
    """Whether the connections are encrypted, by what they are for."""
    rows = database.sql(
        "SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'holdfast'"
    )
    found: dict[str, set[bool]] = {}
    for name, ssl in rows:
        found.setdefault(name, set()).add(ssl)
    return found


def test_every_connection_of_a_node_is_encrypted_and_jobs_go_in_and_out(serve, url, database):
    with serve(url()).client() as client:
        assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 201
        (job,) = client.post("/v1/leases", json={"queues": ["q"]}).json()["jobs"]
        assert client.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).status_code == 200
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "concluded"
        all_of_them = {"holdfast": {True}, "holdfast-read": {True}, "holdfast-aside": {True}, "holdfast-inbox": {True}}
        until(lambda: encrypted(database) == all_of_them, "writer, readers and the one beside them are encrypted")


def test_hints_between_two_nodes_pass_over_it(serve, url):
    with serve(url()).client() as one, serve(url()).client() as other:
        import concurrent.futures  # noqa: PLC0415

        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(other.post, "/v1/leases", json={"queues": ["hinted"], "wait_ms": 20_000})
            until(lambda: 'holdfast_waiters{front="0"} 1.0' in other.get("/metrics").text, "it waits")
            assert one.post("/v1/queues/hinted/jobs", json={"payload": 7}).status_code == 201
            assert [job["payload"] for job in waiting.result(30).json()["jobs"]] == [7]


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_one_that_is_not_the_one_that_was_meant_is_not_used_and_the_reason_is_told(url, tmp_path, wrong):
    if wrong == "authority":
        store, words = url(ca=Authority(tmp_path / "stranger").file), "certificate verify failed: "
    else:
        store, words = (
            url(host="localhost"),
            "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'",
        )
    said = run("doctor", "--store", store)
    assert said.returncode == 1
    assert words in said.stderr, said.stderr
    server = Server(tmp_path / "home", "--store", store).launch()
    try:
        line = server.out.wait_for("Nothing is taken yet")
        assert words in line
        with server.client() as client:
            assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 503
    finally:
        server.destroy()


def test_without_tls_the_database_lets_nobody_in(url):
    said = run("doctor", "--store", url().replace("sslmode=verify-full", "sslmode=disable"))
    assert (said.returncode, "no encryption" in said.stderr or "rejects" in said.stderr) == (1, True), said.stderr


def test_doctor_check_and_move_go_the_same_way(url, tmp_path):
    assert run("doctor", "--store", url()).returncode in (0, 1)
    assert json.loads(run("doctor", "--store", url(), "--json").stdout)["postgresql"] >= 15
    file = tmp_path / "jobs.db"
    server = Server(tmp_path / "home", "--store", f"sqlite:///{file}").start()
    with server.client() as client:
        assert client.post("/v1/queues/q/jobs", json={"payload": {"n": 1}}).status_code == 201
    server.process.terminate()
    assert server.ended() == 0
    server.destroy()
    moved = run("move", "--from", f"sqlite:///{file}", "--to", url())
    assert moved.returncode == 0, moved.stderr
    checked = run("check", "--store", url())
    assert checked.returncode == 0, checked.stderr


def test_a_node_says_who_it_is_by_a_certificate(serve, url, database, authority, tmp_path):
    allow(database, "cert")
    database.sql("SELECT pg_reload_conf()")
    node = authority.issue("node", "holdfast.example", common_name="holdfast")
    node.key.chmod(0o600)
    with serve(url(sslcert=node.cert, sslkey=node.key)).client() as client:
        assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 201
    assert run("doctor", "--store", url()).returncode == 1
