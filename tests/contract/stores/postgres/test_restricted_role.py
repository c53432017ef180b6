"""A role as managed services give it: no superuser, no ALTER SYSTEM, no pg_monitor, a database of its own, TLS, and perhaps a pooler in front."""

import asyncio
import re
import subprocess
import sys

import psycopg
import pytest

from cluster.postgres import PostgresServer
from cluster.processes import give
from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.connect import ALWAYS, READER, WRITER, connect
from holdfast.stores.postgres.doctor import judge
from holdfast.stores.postgres.examine import examine
from tests import prefork
from tests.certificates import Authority, Pair
from tests.contract.stores.postgres.between import bouncer, greeter
from tests.contract.stores.postgres.test_tls import with_tls
from tests.system.docs.pages import ROOT
from tests.system.whole.servers import Server, until

pytestmark = pytest.mark.long(60)
ADMIN = "LOGIN NOSUPERUSER INHERIT CREATEDB CREATEROLE NOREPLICATION"
DROPPED = "ignore_startup_parameters = " + ",".join(sorted(WRITER | READER | ALWAYS | {"synchronous_commit": ""}))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def service(tmp_path_factory, authority):
    """A server of which we are given `admin` and its database `jobs`, and where `plain` may make schemas in `jobs` and no more."""
    folder = tmp_path_factory.mktemp("service")
    pair = authority.issue("service", "127.0.0.1", into=Pair(folder / "server.pem", folder / "server.key"))
    for file in (pair.cert, pair.key):
        file.chmod(0o600)
    settings = {"ssl": "on", "ssl_cert_file": str(pair.cert), "ssl_key_file": str(pair.key)}
    one = PostgresServer(folder, programs=with_tls(), settings=settings)
    give(folder)
    one.create()
    one.start()
    one.sql(f"CREATE ROLE admin {ADMIN}")
    one.sql("CREATE ROLE plain LOGIN")
    one.sql("CREATE DATABASE jobs OWNER admin")
    one.sql("REVOKE TEMPORARY ON DATABASE jobs FROM PUBLIC")
    yield one
    one.remove()


@pytest.fixture(autouse=True)
def fresh(service):
    service.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="jobs")
    service.sql("REVOKE CREATE ON DATABASE jobs FROM plain")


@pytest.fixture
def serve(tmp_path):
    made = []

    def launch(url, *options):
        made.append(Server(tmp_path / f"home{len(made)}", "--store", url, *options).launch())
        return made[-1]

    yield launch
    for one in made:
        one.destroy()


def doctor(*options):
    command = [sys.executable, "-m", "holdfast", "doctor", *options]
    return prefork.run(command, check=False, capture_output=True, text=True, timeout=60)


def codes(url, replicas=0):
    return {finding.code: finding for finding in judge(asyncio.run(examine(url)), replicas)}


def one_job(server):
    """In and out again; what the answer said of it."""
    with server.client() as client:
        pushed = client.post("/v1/queues/q/jobs", json={"payload": 1})
        assert pushed.status_code == 201, pushed.text
        (job,) = client.post("/v1/leases", json={"queues": ["q"]}).json()["jobs"]
        assert client.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).status_code == 200
        return pushed.json()["durability"]


def test_the_role_is_as_restricted_as_theirs(service):
    for query in ("ALTER SYSTEM SET fsync = off", "SHOW data_directory", "CREATE TABLE public.t (n int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.sql(query, user="plain", database="jobs")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.sql("ALTER SYSTEM SET synchronous_standby_names = 'a'", user="admin", database="jobs")


def test_the_lines_of_the_page_make_a_role_and_its_database_without_a_superuser(service):
    for role in ("DROP DATABASE holdfast", "DROP OWNED BY holdfast", "DROP ROLE holdfast"):  # what this server came with
        service.sql(role)
    service.sql(f"CREATE ROLE another_admin {ADMIN}")
    (block,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/managed-postgresql.md").read_text(encoding="utf-8"), re.DOTALL)
    for line in block.strip().splitlines():
        service.sql(line, user="another_admin")
    assert codes(service.url("holdfast", "holdfast")) == {}


@pytest.mark.parametrize("user", ["admin", "plain"])
def test_a_node_serves_with_it_over_verified_tls_and_promises_the_disk_alone(service, authority, serve, user):
    service.sql("GRANT CREATE ON DATABASE jobs TO plain")
    url = f"{service.url(user, 'jobs')}?sslmode=verify-full&sslrootcert={authority.file}"
    server = serve(url)
    server.out.wait_for("Jobs are kept in PostgreSQL: an answer means that it is fsynced")
    assert one_job(server) == {"level": "disk", "replicas": 0}
    found = subprocess.run(
        [sys.executable, "-m", "holdfast", "check", "--store", url], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_doctor_names_what_it_cannot_see_and_calls_it_neither_sound_nor_broken(service):
    url = service.url("admin", "jobs")
    said = doctor("--store", url)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "warning  not_seen" in said.stdout
    assert "The role admin can't see: which standbys follow, and old transactions of other roles." in said.stdout
    service.sql("GRANT pg_monitor TO admin")
    try:
        assert codes(url) == {}
    finally:
        service.sql("REVOKE pg_monitor FROM admin")


def test_where_the_names_are_the_services_the_doctor_says_what_is_left(service):
    said = doctor("--store", service.url("admin", "jobs"), "--replicas", "1")
    assert said.returncode == 1
    assert "BREAKS   names_empty" in said.stdout
    assert "BREAKS   monitor_missing" in said.stdout
    assert "Where a service keeps that setting to itself, serve with --replicas 0." in " ".join(said.stdout.split())


def test_a_catalog_that_a_service_hides_is_named_and_stops_neither_the_doctor_nor_the_check_at_the_start(service, serve):
    url = service.url("admin", "jobs")
    service.sql("REVOKE SELECT ON pg_db_role_setting, pg_replication_slots FROM PUBLIC", database="jobs")
    try:
        assert "replication slots; settings of roles and databases" in codes(url)["not_seen"].seen
        refused = serve(url, "--replicas", "1")
        assert refused.ended() == 1
        assert "names_empty:" in refused.err.text
    finally:
        service.sql("GRANT SELECT ON pg_db_role_setting, pg_replication_slots TO PUBLIC", database="jobs")


def test_a_role_that_may_not_make_the_schema_is_told_so_and_serves_when_it_may(service, serve):
    url = service.url("plain", "jobs")
    finding = codes(url)["schema_forbidden"]
    assert (finding.breaks, finding.stops) == (True, False)
    server = serve(url)
    assert "permission denied for database jobs. When that is mended" in server.out.wait_for("Nothing is taken yet")
    service.sql(finding.mend.partition(",")[0])
    assert "schema_forbidden" not in codes(url)
    with server.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
    assert one_job(server) == {"level": "disk", "replicas": 0}


def test_a_transaction_of_another_role_is_no_held_queue_before_it_has_lasted(service, serve):
    """When it began is hidden from the role, and a producer that has just taken the row holds nobody up."""
    url = service.url("admin", "jobs")
    server = serve(url)
    server.out.wait_for("Jobs are kept")
    one_job(server)
    with service.connect(database="jobs") as other, other.transaction():
        other.execute("SELECT FROM holdfast.queue WHERE name = 'q' FOR UPDATE")
        assert "queue_held" in codes(url)

    async def looked_at_while_it_lasts():
        looking = asyncio.create_task(examine(url))
        await asyncio.sleep(0.5)  # within its two looks, a second apart
        other.rollback()
        return {finding.code for finding in judge(await looking, 0)}

    with service.connect(database="jobs") as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM holdfast.queue WHERE name = 'q' FOR UPDATE")
        assert "queue_held" not in asyncio.run(looked_at_while_it_lasts())


# --------------------------------------------------------------------------------------------------------- in between


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("more", [(), (DROPPED,)], ids=["refused", "dropped"])
def test_behind_a_pooler_no_server_starts_and_one_sentence_says_what_to_do(service, serve, tmp_path, mode, more):
    with bouncer(tmp_path, service, mode, "admin", "jobs", *more) as url:
        assert codes(url)["pooler_between"].stops
        server = serve(url, *(["--no-require-sound"] if mode == "session" else ["--replicas", "1"] if more else []))
        assert server.ended() == 1
        assert server.out.lines == []
        told = server.err.text.rpartition("holdfast: ")[2]
        assert told.startswith("A connection pooler such as PgBouncer stands between Holdfast and PostgreSQL.")
        assert "Name the database itself in --store" in told
        with pytest.raises(StoreUnavailable, match="connection pooler"):
            asyncio.run(connect(url, READER))
    assert not service.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'", database="jobs")


def test_an_application_behind_a_pooler_enqueues_by_sql_all_the_same(service, serve, tmp_path):
    """Its call is one transaction: it needs nothing of a session."""
    server = serve(service.url("admin", "jobs"))
    server.out.wait_for("Jobs are kept")
    assert one_job(server)
    with bouncer(tmp_path, service, "transaction", "admin", "jobs") as url, psycopg.connect(url) as application:
        application.execute("SELECT holdfast.enqueue('q', payload => '2')", prepare=False)
    with server.client() as client:
        (job,) = client.post("/v1/leases", json={"queues": ["q"], "wait_ms": 10_000}).json()["jobs"]
    assert job["payload"] == 2


def test_a_pooler_that_loses_no_setting_is_told_by_the_connections_that_it_shares(service, tmp_path):
    """Where the role itself has all that a session of Holdfast sets, nothing is seen to be lost."""
    service.sql("CREATE ROLE whole LOGIN IN ROLE pg_monitor; GRANT CREATE ON DATABASE jobs TO whole")
    for name, value in READER.items():
        service.sql(f"ALTER ROLE whole SET {name} = {value if name == 'search_path' else repr(value)}")
    with bouncer(tmp_path, service, "transaction", "whole", "jobs", DROPPED) as url:

        async def greeted_and_served():
            made = await connect(url, READER)
            try:
                return made.get_server_pid(), await made.fetchval("SELECT pg_backend_pid()")
            finally:
                made.terminate()

        greeting, serving = asyncio.run(greeted_and_served())
        assert greeting != serving
        assert set(codes(url)) == {"pooler_between"}


def test_a_proxy_that_gives_each_client_a_session_of_its_own_is_no_pooler(service, serve):
    """Neon's answers every connection, the direct ones too, with a process number that is not the server's."""
    with greeter(service) as port:
        url = f"postgresql://admin@127.0.0.1:{port}/jobs?sslmode=disable"
        assert set(codes(url)) == {"not_seen"}
        server = serve(url)
        server.out.wait_for("Jobs are kept")
        assert one_job(server) == {"level": "disk", "replicas": 0}
