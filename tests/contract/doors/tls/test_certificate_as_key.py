"""The common name of a client's certificate as an access key: to beanstalkd's door over real TLS, and never over HTTP."""

import itertools
import ssl

import httpx
import pytest

from tests.contract.doors.tls.conftest import asked, secured, tubes_of
from tests.system.whole.servers import Server

PUT = b"put 0 0 10 1\r\na\r\n"
ODD = (
    "workers ",
    " workers",
    "Workers",
    "workers\n",
    "workers\x00",
    "wörkers",
    "worker*",
    "*",
    "workers,CN=root",
    "\u202eworkers",
    "x" * 64,
)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory, pair, authority):
    """A server that asks for certificates and has keys: `root`, and `workers`, which may enqueue and lease."""
    options = (*pair.flags, "--tls-client-ca", str(authority.file), "--beanstalk", "127.0.0.1:0")
    made = Server(tmp_path_factory.mktemp("keyed"), "--store", "memory", *options).start()
    yield made
    assert "Traceback" not in made.err.text
    made.destroy()


@pytest.fixture(scope="module")
def http(server, authority, identity):
    """A client with a certificate that names nobody, and the key `root`."""
    context = authority.trusting(identity)
    url = f"https://localhost:{server.port}"
    with httpx.Client(base_url=url, verify=context, timeout=20, trust_env=False) as client:
        root = client.post("/v1/keys", json={"name": "root", "abilities": ["admin"]}).json()["secret"]
        client.headers["authorization"] = f"Bearer {root}"
        made_key(client, "workers")
        yield client


@pytest.fixture
def said(server, http, authority):
    """What the door of beanstalkd answers to a command of a client with these common names."""

    def ask(*names: str, command: bytes = PUT) -> bytes:
        identity = authority.named(f"client{next(_numbers)}", *names)
        return asked(tubes_of(server), authority.trusting(identity), command)

    return ask


def made_key(http: httpx.Client, name: str) -> None:
    http.post("/v1/keys", json={"name": name, "abilities": ["produce", "consume"]}).raise_for_status()


def test_the_common_name_is_the_key_and_has_its_abilities(said, http):
    assert said("workers").startswith(b"INSERTED ")
    assert said("workers", command=b"stats\r\n") == b"FORBIDDEN\r\n"
    assert said("workers", command=b"kick 1\r\n") == b"FORBIDDEN\r\n"
    (entry,) = http.get("/v1/audit?who=workers&limit=1").json()["entries"]
    assert (entry["action"], entry["door"]) == ("queue.kick", "beanstalk")


def test_a_common_name_without_a_key_is_refused(said):
    assert said("nobody") == b"UNAUTHENTICATED\r\n"


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_common_name_that_only_resembles_a_key_is_refused(said, name):
    assert said(name) == b"UNAUTHENTICATED\r\n"


def test_a_certificate_with_two_common_names_is_refused(said):
    assert said("workers", "root") == said("root", "workers") == b"UNAUTHENTICATED\r\n"


def test_a_certificate_of_another_authority_is_refused_before_its_name_is_read(server, http, authority, stranger):
    context = authority.trusting(stranger.named("foreign", "workers"))
    with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"):
        asked(tubes_of(server), context, PUT)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://localhost:{server.port}/v1/queues", verify=context, trust_env=False)


def test_when_its_key_is_revoked_a_connection_ends_and_new_ones_are_refused(server, http, authority, said):
    made_key(http, "leaver")
    while said("leaver") == b"UNAUTHENTICATED\r\n":  # the front has not loaded the change yet
        pass
    with secured(tubes_of(server), authority.trusting(authority.named("leaver", "leaver"))) as sock:
        sock.sendall(PUT)
        assert sock.recv(100).startswith(b"INSERTED ")
        http.delete("/v1/keys/leaver").raise_for_status()
        assert sock.recv(100) == b"UNAUTHENTICATED\r\n"
        assert sock.recv(100) == b""
    assert said("leaver") == b"UNAUTHENTICATED\r\n"


def test_a_certificate_is_no_key_over_http(server, http, authority):
    """A browser would send it by itself, for any page: over HTTP a key has to be sent in the request."""
    context = authority.trusting(authority.named("http", "root"))
    with httpx.Client(base_url=f"https://localhost:{server.port}", verify=context, timeout=20, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/queues").status_code == 401
        assert client.get("/web", follow_redirects=False).status_code == 303
        assert client.get("/v1/queues", headers={"authorization": http.headers["authorization"]}).status_code == 200
