"""Files that make no certificate: the server does not start, and says which file it is and what is wrong with it."""

import os

import pytest

from tests.certificates import Pair, encrypted
from tests.contract.doors.tls.conftest import LOOPBACK
from tests.system.whole.servers import Server


@pytest.fixture
def refusal(tmp_path):
    """What a server says that does not start, and its exit code."""
    launched = []

    def launch(*options: str) -> tuple[int, str]:
        launched.append(Server(tmp_path / "home", "--store", "memory", *options).launch())
        code = launched[-1].ended()
        launched[-1].err.wait_for_end()
        return code, launched[-1].err.text

    yield launch
    for server in launched:
        server.destroy()


def test_a_file_that_is_not_there(refusal, pair, tmp_path):
    missing = tmp_path / "missing.pem"
    for wrong in (Pair(missing, pair.key), Pair(pair.cert, missing)):
        assert refusal(*wrong.flags) == (1, f"holdfast: {missing} can't be read: No such file or directory.")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(refusal, pair, tmp_path):
    closed = tmp_path / "closed.key"
    closed.write_bytes(pair.key.read_bytes())
    closed.chmod(0)
    assert refusal(*Pair(pair.cert, closed).flags) == (1, f"holdfast: {closed} can't be read: Permission denied.")


def test_a_folder(refusal, pair, tmp_path):
    assert refusal(*Pair(tmp_path, pair.key).flags) == (1, f"holdfast: {tmp_path} can't be read: Is a directory.")


def test_a_key_that_is_not_that_of_the_certificate(refusal, pair, authority):
    other = authority.issue("other", *LOOPBACK)
    wrong = Pair(pair.cert, other.key)
    assert refusal(*wrong.flags) == (1, f"holdfast: The key in {other.key} is not that of the certificate in {pair.cert}.")


def test_a_key_under_a_passphrase_is_not_asked_for(refusal, pair):
    wrong = encrypted(pair)
    code, said = refusal(*wrong.flags)
    assert code == 1
    assert said.startswith(f"holdfast: The key in {wrong.key} is encrypted")


def test_a_certificate_that_has_expired_or_is_not_valid_yet(refusal, authority):
    expired = authority.issue("expired", *LOOPBACK, days=-1)
    assert refusal(*expired.flags) == (1, f"holdfast: The certificate in {expired.cert} has expired.")
    early = authority.issue("early", *LOOPBACK, days=500)
    assert refusal(*early.flags) == (1, f"holdfast: The certificate in {early.cert} is not valid yet.")


def test_files_that_hold_something_else(refusal, pair, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("a note\n")
    assert refusal(*Pair(note, pair.key).flags) == (1, f"holdfast: {note} holds no certificate in PEM.")
    assert refusal(*Pair(pair.cert, note).flags) == (1, f"holdfast: {note} holds no private key in PEM.")
    assert refusal(*pair.flags, "--tls-client-ca", str(note)) == (
        1,
        f"holdfast: {note} holds no certificate of an authority in PEM.",
    )
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    code, said = refusal(*Pair(broken, pair.key).flags)
    assert (code, said.startswith(f"holdfast: {broken} and {pair.key} can't be used: ")) == (1, True)


def test_settings_that_are_not_whole(refusal, pair):
    assert refusal("--tls-cert", str(pair.cert)) == (
        2,
        "holdfast: tls_cert needs tls_key beside it: the certificate and its key.",
    )
    assert refusal("--tls-key", str(pair.key)) == (
        2,
        "holdfast: tls_key needs tls_cert beside it: the certificate and its key.",
    )
    code, said = refusal("--tls-client-ca", str(pair.cert))
    assert (code, said) == (2, "holdfast: tls_client_ca needs tls_cert and tls_key: client certificates are a part of TLS.")


def test_a_demand_for_client_certificates_without_an_authority_is_no_demand_and_refused(refusal, pair):
    for given in ("required", "optional"):
        for flags in (pair.flags, ()):
            code, said = refusal(*flags, "--tls-client-auth", given)
            assert code == 2
            assert "--tls-client-auth needs tls_client_ca: without it no client is asked for a certificate." in said
