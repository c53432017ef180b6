"""TLS of the client: which servers are trusted, and the client's certificate.

The certificates of servers are always verified, with the authorities of this machine or those of one file. For anything else,
pass an `ssl.SSLContext` of your own as `context`.
"""

import os
import ssl
from collections.abc import Iterator
from typing import Any

Path = str | os.PathLike[str]
_VARIABLES = {"ca_file": "HOLDFAST_CA_FILE", "client_cert": "HOLDFAST_CLIENT_CERT", "client_key": "HOLDFAST_CLIENT_KEY"}
_MISMATCHES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_EXPIRED, _NOT_YET_VALID = 10, 9
_UNKNOWN = (2, 18, 19, 20, 21)  # not signed by a trusted authority
_OF_THE_CLIENT = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it requires a client certificate (client_cert, HOLDFAST_CLIENT_CERT)",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority (CA) of the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the client certificate was revoked",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the client certificate is not one for clients (extended key usage)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept the client certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept the client certificate",
}
"""With TLS 1.3 these come when a request may be on its way already; it was not read."""
_OF_THE_HANDSHAKE = _OF_THE_CLIENT | {
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the TLS handshake; it may require a client certificate (client_cert, HOLDFAST_CLIENT_CERT)",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no version of TLS that is spoken here",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there: its URL may begin with http://",
}


class Context(ssl.SSLContext):
    """An `ssl.SSLContext` that can be pickled, for clients that are handed to other processes: it is made of the same files there."""

    files: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, self.files


def context_of(
    ca_file: Path | None = None, client_cert: Path | None = None, client_key: Path | None = None
) -> ssl.SSLContext | None:
    """The contents of these PEM files, or of those that `HOLDFAST_CA_FILE`, `HOLDFAST_CLIENT_CERT` and `HOLDFAST_CLIENT_KEY`
    name; None without any, when the machine's own authorities apply. The key may be in the file of its certificate. Raises
    `ValueError`, naming the file.
    """
    given = [ca_file, client_cert, client_key]
    files = [
        path if path is not None else os.environ.get(variable)
        for path, variable in zip(given, _VARIABLES.values(), strict=True)
    ]
    return _made(*(os.fspath(path) if path else None for path in files)) if any(files) else None


def _made(ca_file: str | None, client_cert: str | None, client_key: str | None) -> Context:
    if client_key and not client_cert:
        raise ValueError("a client_key is given without its client_cert")
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.files = (ca_file, client_cert, client_key)
    for path in (ca_file, client_cert, client_key):
        _look_at(path)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError:
            raise ValueError(f"the CA file {ca_file} holds no certificate in PEM") from None
    else:
        context.load_default_certs()
    if client_cert:
        _identify(context, client_cert, client_key)
    return context


def _look_at(path: str | None) -> None:
    try:
        if path:
            with open(path, "rb"):  # noqa: PTH123  (as it is named in the message)
                pass
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None


def _identify(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    def encrypted() -> str:
        raise ValueError(f"the key in {key or cert} is encrypted; give one that is not, or a context")

    try:
        context.load_cert_chain(cert, key, encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the key in {key or cert} is not that of the certificate in {cert}") from None
        raise ValueError(f"{cert} holds no certificate in PEM, or {key or cert} no private key") from None


def distrust(error: BaseException, around: BaseException | None = None, *, connected: bool = False) -> str | None:
    """Why a TLS connection failed, as a sentence that continues "the server"; None if it failed for another reason. `around` as
    in `causes`.

    The server has received no request then, whenever the failure was noticed. Once `connected`, only an alert about the
    client's certificate can mean that: other TLS failures may have broken off an answer.
    """
    alerts = _OF_THE_CLIENT if connected else _OF_THE_HANDSHAKE
    for found in causes(error, around):
        if type(found) is ssl.SSLCertVerificationError:  # those of a library that imitate one have no details
            return _of_certificate(found)
        if isinstance(found, ssl.SSLError) and (reason := getattr(found, "reason", None)):
            return alerts.get(reason)
    return None


def causes(error: BaseException, around: BaseException | None = None) -> Iterator[BaseException]:
    """An exception and its causes; but not `around`, which the caller was handling when it began: that is of another call."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None or found is around:
            return
        yield found
        found = found.__cause__ or found.__context__


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _MISMATCHES:
        return f"its certificate is for another name: {error.verify_message.rstrip('.')}"
    if error.verify_code == _EXPIRED:
        return "its certificate has expired"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet"
    if error.verify_code in _UNKNOWN:
        return "its certificate is not of an authority (CA) that is trusted here; ca_file or HOLDFAST_CA_FILE names another"
    return f"its certificate is not accepted: {error.verify_message}"
