"""Who a client of beanstalkd is, where access keys are in force.

By its TLS certificate, whose common name is the name of a key; by its address (`--beanstalk-allow 10.0.0.0/8=workers`); or by a
line `auth SECRET` before its first command. Any other command is answered with UNAUTHENTICATED and the connection closed,
before the body of a put is read.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Allowed:
    """Addresses that need no secret, and the key that each is assigned."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Entries such as `10.0.0.0/8=workers`; raises `ValueError`."""
        self._networks: list[tuple[Network, str]] = []
        for entry in entries:
            network, mark, name = entry.partition("=")
            if not mark or not name:
                raise ValueError(f"{entry!r} is not ADDRESSES=KEY-NAME")
            self._networks.append((ipaddress.ip_network(network), name))

    def name_of(self, address: str) -> str | None:
        """The name of the key of an address."""
        if not self._networks:
            return None
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None  # such as a socket without one
        mapped = getattr(found, "ipv4_mapped", None) or found
        return next((name for network, name in self._networks if mapped in network), None)


def known_otherwise(keyring: Keyring, allowed: Allowed, address: str, certificate: dict[str, Any] | None) -> Caller | None:
    """Who a client is by its certificate, which TLS has verified, or else by its address."""
    for name in (common_name(certificate), allowed.name_of(address)):
        if name is not None and (caller := keyring.caller_named(name)) is not None:
            return caller
    return None


def common_name(certificate: dict[str, Any] | None) -> str | None:
    """The common name of a certificate as Python's `ssl` tells it; None where it has none, or several, of which nobody can say which one counts."""
    subject = (certificate or {}).get("subject", ())
    names = [str(value) for part in subject for field, value in part if field == "commonName"]
    return names[0] if len(names) == 1 else None
