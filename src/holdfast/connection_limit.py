"""How many connections there may be, in all and of one address."""

from collections import Counter
from ipaddress import IPv6Address

from holdfast.limits import FILES_KEPT_BACK
from holdfast.sockets import file_limit

_LOOPBACK = ("127.", "0" * 16)  # as `_network` writes them


def limit_of(most: int, per_address: int) -> "ConnectionLimit":
    """The configured limit, but at most the process's open files, less those reserved for other files. 0 per address is half of
    all, and for loopback all.
    """
    files = file_limit()
    most = min(most, max(files - FILES_KEPT_BACK, files // 2))
    return ConnectionLimit(most, per_address or max(1, most // 2), per_address or most)


class Place:
    """One counted connection."""

    __slots__ = ("_limit", "_network")

    def __init__(self, limit: "ConnectionLimit", network: str) -> None:
        self._limit: ConnectionLimit | None = limit
        self._network = network

    def leave(self) -> None:
        """It has ended; twice is as once."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.left(self._network)


class ConnectionLimit:
    """Counts connections. `most` in all, `per_address` of one IPv4 address or one IPv6 network of 64 bits, which is what one host may have;
    `of_loopback` of one address of loopback, where proxies of this machine are.
    """

    def __init__(self, most: int, per_address: int, of_loopback: int) -> None:
        self.most = most
        self.per_address = per_address
        self.of_loopback = of_loopback
        self.open = 0
        self.refused: dict[str, int] = Counter()  # by bound: "total", "address"
        self._of: dict[str, int] = {}

    def enter(self, address: str) -> Place | None:
        """Count a connection of this address ("" if it has none, such as a UNIX socket); None if that is one too many."""
        network = _network(address)
        if self.open >= self.most:
            self.refused["total"] += 1
            return None
        count = self._of.get(network, 0)
        if count >= (self.of_loopback if network.startswith(_LOOPBACK) else self.per_address) and network:
            self.refused["address"] += 1
            return None
        self.open += 1
        self._of[network] = count + 1
        return Place(self, network)

    def left(self, network: str) -> None:
        """One has ended."""
        self.open -= 1
        count = self._of[network] - 1
        if count:
            self._of[network] = count
        else:
            del self._of[network]


def _network(address: str) -> str:
    if ":" not in address:
        return address
    found = IPv6Address(address)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return found.packed[:8].hex()
