"""The client, the worker and the command line over TLS: who is trusted, who one is, and what is said where that fails."""

import asyncio
import contextlib
import json
import logging
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast import AsyncClient, Client, Worker
from holdfast.cli.entry import main
from holdfast.client import Unreachable
from holdfast.client.tls import context_of
from holdfast.errors import OutcomeUnknown
from tests.certificates import Authority, Pair, encrypted
from tests.contract.client.clients import PATIENCE_S
from tests.contract.client.worker.workers import running
from tests.system.docs.pages import block, read

TOKEN = "hf_planted_0123456789abcdef"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server", "127.0.0.1")


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("worker", "worker@example.org")


@pytest.fixture
def secure(serve, pair):
    """A server over TLS."""
    return serve("--store", "memory", *pair.flags)


@pytest.fixture
def mutual(serve, pair, authority):
    """One that requires client certificates as well."""
    return serve("--store", "memory", *pair.flags, "--tls-client-ca", str(authority.file))


@pytest.fixture
def variables(monkeypatch):
    """Sets variables; no other is set."""
    for name in ("URL", "TOKEN", "PROFILE", "CA_FILE", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"HOLDFAST_{name}", raising=False)
    return lambda **given: [monkeypatch.setenv(f"HOLDFAST_{name}", str(value)) for name, value in given.items()]


def refused(clients, url: str, **options) -> str:
    """What is said where no connection comes about, at once."""
    with pytest.raises(Unreachable) as caught:
        clients(url, deadline_s=30, **options).enqueue("q", 1)
    return str(caught.value)


def test_a_server_is_verified_by_the_authorities_of_the_machine_unless_others_are_named(clients, secure, authority, variables):
    said = refused(clients, secure.url)
    assert said == (
        f"{secure.url} can't be asked: its certificate is not of an authority (CA) that is trusted here; "
        "ca_file or HOLDFAST_CA_FILE names another."
    )
    assert clients(secure.url, ca_file=authority.file).enqueue("q", 1).id == 1
    assert clients(secure.url, context=authority.trusting()).enqueue("q", 1).id == 2
    variables(CA_FILE=authority.file)
    assert clients(secure.url).enqueue("q", 1).id == 3


def test_a_certificate_for_another_name_is_one_sentence(clients, secure, authority):
    url = secure.url.replace("127.0.0.1", "localhost")
    said = refused(clients, url, ca_file=authority.file)
    assert said == (
        f"{url} can't be asked: its certificate is for another name: "
        "Hostname mismatch, certificate is not valid for 'localhost'."
    )


def test_a_server_that_requires_a_certificate_says_so(clients, mutual, authority, identity, variables):
    said = refused(clients, mutual.url, ca_file=authority.file)
    assert "client_cert, HOLDFAST_CLIENT_CERT" in said
    files = {"ca_file": authority.file, "client_cert": identity.cert, "client_key": identity.key}
    assert clients(mutual.url, **files).enqueue("q", 1).id == 1
    variables(CA_FILE=authority.file, CLIENT_CERT=identity.cert, CLIENT_KEY=identity.key)
    assert clients(mutual.url).enqueue("q", 1).id == 2


def test_one_of_another_authority_is_not_taken(clients, mutual, authority, tmp_path):
    foreign = Authority(tmp_path / "foreign").issue("foreign", "a@example.org")
    said = refused(clients, mutual.url, ca_file=authority.file, client_cert=foreign.cert, client_key=foreign.key)
    assert said == f"{mutual.url} can't be asked: it does not trust the authority (CA) of the client certificate."


def test_http_and_https_mixed_up_are_one_sentence_each(clients, secure, shared, authority):
    with pytest.raises(Exception, match=r"This port speaks TLS: the URL begins with https://"):
        clients(secure.url.replace("https", "http")).enqueue("q", 1)
    url = shared.url.replace("http", "https")
    assert refused(clients, url, ca_file=authority.file) == (
        f"{url} can't be asked: it does not speak TLS there: its URL may begin with http://."
    )


def test_the_next_node_is_asked_where_one_is_not_trusted(clients, secure, shared, queue):
    assert clients(f"{secure.url},{shared.url}").enqueue(queue, 1).id > 0


def test_files_that_are_wrong_are_named(authority, identity, tmp_path, variables):
    missing, note = tmp_path / "missing.pem", tmp_path / "note.txt"
    note.write_text("a note")
    other = authority.issue("other", "other@example.org")
    hidden = encrypted(identity)
    for files, said in (
        ({"ca_file": missing}, f"{missing} can't be read: No such file or directory"),
        ({"client_cert": identity.cert, "client_key": missing}, f"{missing} can't be read: No such file or directory"),
        ({"ca_file": note}, f"the CA file {note} holds no certificate in PEM"),
        ({"client_cert": note}, f"{note} holds no certificate in PEM, or {note} no private key"),
        ({"client_key": identity.key}, "a client_key is given without its client_cert"),
        (
            {"client_cert": identity.cert, "client_key": other.key},
            f"the key in {other.key} is not that of the certificate in {identity.cert}",
        ),
        (
            {"client_cert": hidden.cert, "client_key": hidden.key},
            f"the key in {hidden.key} is encrypted; give one that is not, or a context",
        ),
    ):
        for kind in (Client, AsyncClient):
            with pytest.raises(ValueError) as caught:  # noqa: PT011  (all of it is compared)
                kind("https://localhost", **files)
            assert str(caught.value) == said


def test_the_key_may_stand_in_the_file_of_its_certificate(clients, mutual, authority, identity, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(identity.cert.read_bytes() + identity.key.read_bytes())
    assert clients(mutual.url, ca_file=authority.file, client_cert=both).enqueue("q", 1).id == 1


def test_a_client_with_files_is_handed_to_another_process_with_them(mutual, authority, identity):
    client = Client(
        mutual.url, deadline_s=PATIENCE_S, ca_file=authority.file, client_cert=identity.cert, client_key=identity.key
    )
    with client, pickle.loads(pickle.dumps(client)) as there:
        assert there.enqueue("q", 1).id == 1
    assert context_of(None, None, None) is None


def test_a_worker_takes_jobs_over_tls_on_a_live_channel(mutual, authority, identity):
    files = {"ca_file": authority.file, "client_cert": identity.cert, "client_key": identity.key}
    worker = Worker("mail", url=mutual.url, register=True, **files)

    @worker.handler()
    def double(job):
        return job.payload * 2

    with Client(mutual.url, deadline_s=PATIENCE_S, **files) as client, running(worker):
        receipt = client.enqueue("mail", 21)
        assert client.result(receipt.id, timeout_s=30) == 42
        text = mutual.client(verify=authority.trusting(identity)).get("/metrics").text
        assert 'holdfast_channels{front="0"} 1.0' in text


@pytest.fixture
def run(variables, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(main, words)


def test_the_command_line_takes_the_files_from_options_variables_and_a_profile(
    run, mutual, authority, identity: Pair, variables, tmp_path: Path
):
    url, files = mutual.url, (str(authority.file), str(identity.cert), str(identity.key))
    options = [f"--{name}={file}" for name, file in zip(("ca-file", "client-cert", "client-key"), files, strict=True)]
    assert run("queue", "ls", "--url", url, *options).exit_code == 0
    (tmp_path / "holdfast").mkdir()
    lines = [
        "[prod]",
        f'url = "{url}"',
        *(f'{name} = "{file}"' for name, file in zip(("ca_file", "client_cert", "client_key"), files, strict=True)),
    ]
    (tmp_path / "holdfast/profiles.toml").write_text("\n".join(lines))
    assert run("queue", "ls", "--profile", "prod").exit_code == 0
    variables(URL=url, CA_FILE=files[0], CLIENT_CERT=files[1], CLIENT_KEY=files[2])
    assert run("queue", "ls").exit_code == 0
    without = run("queue", "ls", "--client-cert", "")
    assert without.exit_code == 0, "an empty option is as none"


def test_the_command_line_says_in_one_line_what_is_wrong(run, secure, authority):
    said = run("queue", "ls", "--url", secure.url)
    assert (said.exit_code, said.stderr.count("\n")) == (3, 1)
    assert "its certificate is not of an authority (CA) that is trusted here" in said.stderr
    said = run("queue", "ls", "--url", secure.url, "--ca-file", "/nowhere.pem")
    assert said.exit_code == 2
    assert "/nowhere.pem can't be read: No such file or directory" in said.stderr


def test_a_token_is_shown_nowhere(clients, shared, caplog, run, tmp_path):
    caplog.set_level(logging.DEBUG)
    client = clients(shared.url, token=TOKEN)
    worker = Worker("q", url=shared.url, token=TOKEN)
    said = [repr(client), repr(worker), repr(vars(worker))]
    with pytest.raises(Exception, match="job") as caught:
        client.job(10**15)
    said.append("".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()))
    with pytest.raises(Unreachable) as caught:
        clients("https://127.0.0.1:1", token=TOKEN, deadline_s=0.1).stats()
    said.append("".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()))
    (tmp_path / "holdfast").mkdir()
    profiles = tmp_path / "holdfast/profiles.toml"
    profiles.write_text(f'[prod]\nurl = "http://127.0.0.1:1"\ntoken = "{TOKEN}"')
    for words in (("--profile", "prod"), ("--url", "http://127.0.0.1:1", "--token", TOKEN)):
        result = run("queue", "ls", "--deadline", "100ms", *words)
        assert result.exit_code == 3
        said.append(result.output)
    said.append(caplog.text)
    assert TOKEN not in json.dumps(said)


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, ssl.SSLContext], None], pair: Pair) -> Iterator[str]:
    """The URL of a server that answers every connection in a way of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                caller, _ = listener.accept()
                with caller, contextlib.suppress(OSError):
                    answer(caller, context)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def breaking(rest: bytes) -> Callable[[socket.socket, ssl.SSLContext], None]:
    """Reads a request over TLS, and answers with these bytes outside of it."""

    def answer(caller: socket.socket, context: ssl.SSLContext) -> None:
        with caller.dup() as plain, context.wrap_socket(caller, server_side=True) as secured:
            while b"\r\n\r\n" not in secured.recv(65_536):
                pass
            plain.sendall(rest)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65_536):
                pass

    return answer


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "TLS failed (wrong version number)"),
        (b"\x17\x03\x03\x00\x40" + b"x" * 64, "TLS failed (decryption failed or bad record mac)"),
        (b"\x17\x03\x03\x40\x00" + b"x" * 64, "was lost: "),
        (b"", "was lost: "),
    ],
    ids=["no record", "a wrong record", "half a record", "nothing"],
)
def test_tls_that_breaks_behind_a_request_leaves_the_outcome_unknown(clients, authority, pair, rest, said):
    with answering(breaking(rest), pair) as url, pytest.raises(OutcomeUnknown) as caught:
        clients(url, ca_file=authority.file, deadline_s=1.5).enqueue("q", 1)
    assert said in str(caught.value)
    assert "Operation not permitted" not in str(caught.value)


def test_a_handshake_that_breaks_off_is_no_unknown_outcome(clients, authority, pair):
    with answering(lambda caller, _: caller.recv(1) and None, pair) as url, pytest.raises(Unreachable):
        clients(url, ca_file=authority.file, deadline_s=1.5).enqueue("q", 1)


def test_what_is_said_of_a_second_server_is_not_why_the_first_one_failed(secure, authority, pair):
    """Its answer was lost; that the first one was not trusted says nothing about it."""

    async def fail_over(second: str) -> None:
        async with AsyncClient(secure.url) as first, AsyncClient(second, ca_file=authority.file, deadline_s=1.5) as other:
            try:
                await first.enqueue("q", 1)
            except Unreachable:
                await other.enqueue("q", 1)

    def fail_over_blocking(second: str) -> None:
        with Client(secure.url) as first, Client(second, ca_file=authority.file, deadline_s=0.3) as other:
            try:
                first.enqueue("q", 1)
            except Unreachable:
                other.enqueue("q", 1)

    with answering(breaking(b""), pair) as url:
        with pytest.raises(OutcomeUnknown):
            asyncio.run(fail_over(url))
        with pytest.raises(OutcomeUnknown):
            fail_over_blocking(url)


def test_a_certificate_for_servers_is_not_one_for_clients_and_that_is_said(clients, mutual, authority):
    identity = authority.only_for_servers(authority.issue("other", "other@example.org"))
    said = refused(clients, mutual.url, ca_file=authority.file, client_cert=identity.cert, client_key=identity.key)
    assert said == f"{mutual.url} can't be asked: the client certificate is not one for clients (extended key usage)."


def test_the_page_shows_a_client_that_works(mutual, authority, identity):
    program = block(read("docs/tls.md"), "python")
    for shown, here in (
        ("https://jobs.example.org:4653", mutual.url),
        ("/etc/holdfast/ca.pem", authority.file),
        ("/etc/holdfast/worker.pem", identity.cert),
        ("/etc/holdfast/worker.key", identity.key),
    ):
        assert shown in program
        program = program.replace(shown, str(here))
    exec(program, {})
    with mutual.client(verify=authority.trusting(identity)) as client:
        assert client.get("/v1/queues/mail").json()["jobs"]["ready"] == 1
