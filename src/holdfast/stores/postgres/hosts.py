"""Connecting to one of the hosts in a URL: all are tried at once, and the first suitable one is used.

One after the other, as the driver does it, a host that takes the connection and never answers (a stalled machine, SIGSTOP) hides all behind it.
Here each has the same bound, its greeting included, and none waits for another. The password, TLS and all other options are the driver's to read.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.pooler import refused

CONNECT_S = 5.0  # per host, until it has answered the greeting

FAILED = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.TargetServerAttributeNotMatched,
    OSError,
    TimeoutError,
    StoreUnavailable,
)
"""What comes of a host that can't be used."""

Greet = Callable[[Any], Awaitable[None]]


class Host(NamedTuple):
    """Where a server listens. A path is a folder of Unix sockets; None is for the driver to find out."""

    name: str | None
    port: int | None

    @property
    def address(self) -> str:
        """As one writes it."""
        return f"{self.name or 'localhost'}:{self.port or 5432}"


class Unreached(StoreUnavailable):
    """No host can be used; `failures` has the result for each, in the order of the URL."""

    def __init__(self, failures: Sequence[BaseException]) -> None:
        said = [_said(failure) for failure in failures]
        counted = {one: said.count(one) for one in sorted(said, key=lambda one: _rank(failures[said.index(one)]))}
        each = (one if len(said) == 1 else f"{count} of {len(said)} hosts: {one}" for one, count in counted.items())
        self.reason = "; ".join(each)
        super().__init__(f"PostgreSQL can't be reached: {self.reason}.", retry_after_ms=1_000)
        self.failures = tuple(failures)

    @property
    def standby(self) -> bool:
        """Whether a server answered that takes no writes."""
        return any(isinstance(failure, asyncpg.TargetServerAttributeNotMatched) for failure in self.failures)


def hosts(url: str) -> list[Host]:
    """All that a URL names, in its order, as the driver reads it: before the path, as `?host=`, or in PGHOST."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    named = parts.netloc.rpartition("@")[2]
    ports = os.environ.get("PGPORT", "")
    if not named:
        named = query.get("host", [""])[-1] or os.environ.get("PGHOST", "")
        ports = query.get("port", [""])[-1] or ports
    each = named.split(",")
    defaults = ports.split(",") if "," in ports else [ports] * len(each)
    try:
        return [_host(text, default) for text, default in zip(each, defaults, strict=True)]
    except ValueError:
        return [Host(None, None)]  # the driver reports what is wrong with it


def _host(text: str, port: str) -> Host:
    if text.startswith("["):
        name, _, after = text[1:].partition("]")
        own = after.removeprefix(":")
    elif text.startswith("/"):
        name, own = text, ""
    else:
        name, _, own = text.partition(":")
    number = unquote(own) or port
    return Host(unquote(name) or None, int(number) if number else None)


async def reach(
    url: str, wanted: SessionAttribute = SessionAttribute.read_write, greet: Greet | None = None, **options: Any
) -> Any:
    """A connection to the first suitable host that answers `greet`; raises `Unreached`, or the error that `greet` raises about
    a server.
    """
    found = hosts(url)
    tries = [asyncio.create_task(_try(url, host, wanted, greet, options), name="reach") for host in found]
    chosen: asyncio.Task[Any] | None = None
    try:
        waited = set(tries)
        while waited and chosen is None:
            _, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            chosen = next((one for one in tries if one.done() and _worked(one)), None)
        if chosen is not None:
            return chosen.result()
    finally:
        for one in tries:
            if one is not chosen:
                one.cancel()
                one.add_done_callback(_let_go)
    failures = [failure for one in tries if (failure := one.exception()) is not None]
    if (unfit := next((failure for failure in failures if isinstance(failure, StoreUnavailable)), None)) is not None:
        raise unfit
    raise Unreached(failures) from min(failures, key=_rank)


async def _try(url: str, host: Host, wanted: SessionAttribute, greet: Greet | None, options: dict[str, Any]) -> Any:
    where: dict[str, Any] = {"host": host.name, "port": host.port} if host.name is not None else {}
    connection: Any = None
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncpg.connect(url, **where, target_session_attrs=wanted, timeout=CONNECT_S, **options)
            if greet is not None:
                await greet(connection)
    except BaseException as error:
        if connection is not None:
            connection.terminate()
        if (pooled := refused(error)) is not None:
            raise pooled from error
        raise
    return connection


def _worked(task: "asyncio.Task[Any]") -> bool:
    """Whether it connected. A defect is not an unreachable host: it is raised."""
    failure = task.exception()
    if failure is not None and not isinstance(failure, FAILED):
        raise failure
    return failure is None


def _let_go(task: "asyncio.Task[Any]") -> None:
    """Close a connection that came second, or after we gave up."""
    with suppress(asyncio.CancelledError):
        if task.exception() is None:
            task.result().terminate()


def _rank(failure: BaseException) -> int:
    """Failures that an operator has to fix come first, temporary ones last."""
    if isinstance(failure, asyncpg.TargetServerAttributeNotMatched):
        return 1
    if isinstance(failure, OSError | TimeoutError | asyncpg.CannotConnectNowError):
        return 2
    return 0


def _said(failure: BaseException) -> str:
    if isinstance(failure, asyncpg.TargetServerAttributeNotMatched):
        return "takes no writes"
    if isinstance(failure, TimeoutError):
        return f"no answer within {CONNECT_S:g} s"
    return described(failure)


def described(error: BaseException) -> str:
    """One line about what went wrong, without the address or the password."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}: {os.strerror(error.errno)}"  # asyncio's message includes the address
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].rstrip('.')}" if text else type(error).__name__
