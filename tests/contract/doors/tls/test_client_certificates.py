"""Clients that have to say who they are, by a certificate."""

import ssl

import httpx
import pytest

from tests.certificates import Authority, Pair
from tests.contract.doors.tls.conftest import asked, read_to_end, secured, tubes_of
from tests.contract.doors.tls.test_handshakes import GET

NO_CERTIFICATE = r"(?i)alert (certificate required|handshake failure)"  # TLS 1.3, and 1.2


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def version(request):
    return request.param


def trusting(authority: Authority, identity: Pair | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.trusting(identity)
    context.minimum_version = context.maximum_version = version
    return context


def test_who_has_a_certificate_of_the_authority_is_let_in_at_both_doors(serve, pair, authority, identity, version):
    server = serve(*pair.flags, "--tls-client-ca", str(authority.file), "--beanstalk", "127.0.0.1:0")
    context = trusting(authority, identity, version)
    assert asked(server.port, context, GET).startswith(b"HTTP/1.1 200 ")
    assert asked(tubes_of(server), context, b"put 0 0 10 1\r\na\r\n").startswith(b"INSERTED ")


def test_who_has_none_or_that_of_another_authority_is_refused_with_an_alert_at_both_doors(
    serve, pair, authority, stranger, version
):
    server = serve(*pair.flags, "--tls-client-ca", str(authority.file), "--beanstalk", "127.0.0.1:0")
    foreign = stranger.issue("foreign", "worker@example.org")
    for port, request in ((server.port, GET), (tubes_of(server), b"stats\r\n")):
        with pytest.raises(ssl.SSLError, match=NO_CERTIFICATE):
            asked(port, trusting(authority, None, version), request)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"):
            asked(port, trusting(authority, foreign, version), request)


def test_one_that_has_expired_is_refused(serve, pair, authority, version):
    server = serve(*pair.flags, "--tls-client-ca", str(authority.file))
    expired = authority.issue("expired", "worker@example.org", days=-1)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert certificate expired"):
        asked(server.port, trusting(authority, expired, version), GET)


def test_optional_lets_those_in_over_http_who_have_none_but_not_to_beanstalkd_and_not_with_a_foreign_one(
    serve, pair, authority, stranger, identity, version
):
    given = ("--tls-client-ca", str(authority.file), "--tls-client-auth", "optional", "--beanstalk", "127.0.0.1:0")
    server = serve(*pair.flags, *given)
    assert asked(server.port, trusting(authority, None, version), GET).startswith(b"HTTP/1.1 200 ")
    assert asked(server.port, trusting(authority, identity, version), GET).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"):
        asked(server.port, trusting(authority, stranger.issue("foreign", "a@example.org"), version), GET)
    with pytest.raises(ssl.SSLError, match=NO_CERTIFICATE):
        asked(tubes_of(server), trusting(authority, None, version), b"stats\r\n")


def test_without_an_authority_no_certificate_is_asked_for(serve, pair, authority, version):
    server = serve(*pair.flags)
    with secured(server.port, trusting(authority, None, version)) as sock:
        sock.sendall(GET)
        assert read_to_end(sock).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(server.url, trust_env=False)
