"""Certificates as an operator has them: authorities, those of servers and of clients, and files that are wrong in one way each."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from cryptography.x509 import (
    CertificateBuilder,
    ExtendedKeyUsage,
    Name,
    NameAttribute,
    ObjectIdentifier,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Pair(NamedTuple):
    """Files of a certificate, with its chain, and of its key."""

    cert: Path
    key: Path

    @property
    def flags(self) -> list[str]:
        """As options of `holdfast serve`."""
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]


class Authority:
    """A CA, with its certificate in a file."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(exist_ok=True)
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *identities: str, days: float = 365.0, into: Pair | None = None, **more: Any) -> Pair:
        """A certificate for these names and addresses that ends in so many days, as files `name`, or in the files of another."""
        ends = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(days=days)
        made = self._ca.issue_cert(*identities, not_before=ends - dt.timedelta(days=400), not_after=ends, **more)
        pair = into or Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.private_key_pem.write_to_path(pair.key)
        pair.cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        return pair

    def only_for_servers(self, pair: Pair) -> Pair:
        """The same certificate without the use `client auth`."""
        return self._remade(pair, None, ExtendedKeyUsageOID.SERVER_AUTH)

    def named(self, name: str, *common_names: str) -> Pair:
        """A client's certificate with these common names and nothing else, as files `name`."""
        subject = Name([NameAttribute(NameOID.COMMON_NAME, one) for one in common_names])
        return self._remade(self.issue(name, "nobody@example.org"), subject, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _remade(self, pair: Pair, subject: Name | None, use: ObjectIdentifier) -> Pair:
        found = load_pem_x509_certificates(pair.cert.read_bytes())[0]
        made = CertificateBuilder(found.issuer, subject or found.subject, found.public_key(), found.serial_number)
        made = made.not_valid_before(found.not_valid_before_utc).not_valid_after(found.not_valid_after_utc)
        made = made.add_extension(ExtendedKeyUsage([use]), critical=True)
        key: Any = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        signed = made.sign(key, SHA256())
        pair.cert.write_bytes(signed.public_bytes(Encoding.PEM))
        return pair

    def trusting(self, identity: Pair | None = None) -> ssl.SSLContext:
        """What a client needs that trusts it, and is perhaps somebody."""
        context = ssl.create_default_context(cafile=self.file)
        if identity is not None:
            context.load_cert_chain(*identity)
        return context


def encrypted(pair: Pair) -> Pair:
    """The same with its key under a passphrase."""
    key = load_pem_private_key(pair.key.read_bytes(), None)
    hidden = pair.key.with_suffix(".encrypted")
    hidden.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    return Pair(pair.cert, hidden)


def serial_of(port: int, authority: Authority) -> str:
    """The number of the certificate that a server shows now."""
    return ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(authority.file), timeout=10)
