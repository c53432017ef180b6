"""Base URLs of servers."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a base URL connects to. Requests name `authority` as their host, and their paths begin with `prefix`."""

    host: str
    port: int
    is_tls: bool
    authority: str
    prefix: str


@lru_cache(maxsize=256)
def origin_of(url: str) -> Origin:
    """Read a base URL; raises `ValueError` for one that is none. One with a user or password is refused, since URLs stand in errors and logs."""
    if "@" in url:
        raise ValueError("a URL of a server has no user or password in it: an access key is given as token")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in _PORTS or not host:
            raise ValueError("it must begin with http:// or https://, and name a host")
        if port == 0:
            raise ValueError("its port must be from 1 to 65535")
        name = host.partition("%")[0] if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{url!r} is not the URL of a server: its host is no name that can be looked up") from None
    except ValueError as error:
        raise ValueError(f"{url!r} is not the URL of a server: {error}") from None
    shown = f"[{name}]" if ":" in host else name
    usual = _PORTS[parts.scheme]
    authority = shown if port in (None, usual) else f"{shown}:{port}"
    return Origin(
        host.replace("%25", "%"), port or usual, parts.scheme == "https", authority, quote(parts.path, safe="/%:@!$&'()*+,;=~")
    )
