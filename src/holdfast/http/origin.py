"""Which web pages may send requests: every request is checked here before anything else.

It blocks web pages of other sites, because any page in the user's browser can reach an open server on loopback. Browsers mark
such requests (`Sec-Fetch-Site`, `Origin`), and a page whose own name resolves to this machine is recognized by its `Host`.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address

from holdfast.errors import Forbidden
from holdfast.sockets import address_of, is_loopback

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_OWN_SITE = frozenset((b"same-origin", b"none"))
_KNOWN_HOSTS = 1_000  # that are cached as checked
_HOST_BYTES = 300  # a name of 253, its port, and some to spare: a longer one is checked each time
_OPEN_PATHS = frozenset(("/healthz", "/readyz"))
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^\[\]:@/?#\\\s,]+?)\.?)(?::[0-9]{0,5})?")


class Guard:
    """The rule on foreign pages. `hosts` of None takes any `Host`; `origins` are allowed besides the server's own.

    `claiming` are the paths where even a GET takes something.
    """

    def __init__(self, hosts: frozenset[str] | None, origins: frozenset[str], claiming: frozenset[str] = frozenset()) -> None:
        self._claiming = claiming
        self._hosts = hosts
        self._origins = origins
        self._known_hosts: set[bytes] = set()

    def admit(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Forbidden` unless the request may go on."""
        host = headers.get(b"host", b"")
        if host not in self._known_hosts and path not in _OPEN_PATHS:
            self._check_host(host)
        if method in _SAFE and path.rstrip("/") not in self._claiming:
            return
        origin = headers.get(b"origin")
        if origin is not None:
            if not self._is_own(origin, host):
                raise Forbidden(f"A page of {origin.decode('latin-1')[:200]} may not do this.", field="Origin")
        elif headers.get(b"sec-fetch-site", b"none") not in _OWN_SITE:
            raise Forbidden("A page of another site may not do this.", field="Sec-Fetch-Site")

    def _check_host(self, host: bytes) -> None:
        name = _name_of(host.decode("latin-1"))
        allowed = self._hosts is None or not host or name in self._hosts or ("localhost" in self._hosts and is_loopback(name))
        if not allowed:
            shown = name or host.decode("latin-1")
            raise Forbidden(f"This server does not answer to the host name {shown[:200]!r}; see --allowed-hosts.", field="Host")
        if len(self._known_hosts) < _KNOWN_HOSTS and len(host) <= _HOST_BYTES:
            self._known_hosts.add(host)

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        return text in self._origins or text.partition("://")[2] == host.decode("latin-1").lower()


def allowed_hosts(bound_to: str, configured: tuple[str, ...]) -> frozenset[str] | None:
    """The host names to answer to: the names of loopback while bound to loopback, and those configured; "*" is any."""
    if "*" in configured:
        return None
    names = {_name_of(name) or name.lower() for name in configured}
    if is_loopback(address_of(bound_to)):
        return frozenset(names | {"localhost", bound_to.lower()})
    return frozenset(names | {"localhost", bound_to.lower()}) if names else None


def _name_of(host: str) -> str:
    """The name or address without the port; "" when it is neither (RFC 3986 3.2.2)."""
    found = _HOST.fullmatch(host.lower().strip())
    if found is None:
        return ""
    if found["v6"] is None:
        return found["name"]
    try:
        IPv6Address(found["v6"])
    except ValueError:
        return ""
    return found["v6"]
