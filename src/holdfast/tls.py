"""TLS of the server: the certificate in force, and the handshakes of a door.

A certificate is verified before use by a handshake with itself in memory, which also yields its expiry. Its files are checked
every few seconds and on SIGHUP; if they can't be used the previous ones stay in force. Open connections keep theirs.

    files ──load──▶ contexts ◀─── each handshake takes the newest
      └── changed, or SIGHUP ──▶ load again; where that fails, say so once and keep the old ones
"""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from holdfast.connection_limit import ConnectionLimit
from holdfast.limits import HANDSHAKE_S, HANDSHAKES, HANDSHAKES_PER_ADDRESS, LINGER_S, TLS_EXPIRY_WARNING_S, TLS_LOOK_S
from holdfast.logs import structlog

ClientAuth = Literal["none", "optional", "required"]
log = structlog.get_logger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all sound
_HANDSHAKE_RECORD = b"\x16"
_READ_BYTES = 64 << 10
_PIECE_BYTES = 64 << 10
_PAUSE_S = 1.0  # after an accept that failed: no descriptors are left, or no memory
_ACCEPTS_AT_ONCE = 64
_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_…
_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class UnusableCertificate(Exception):
    """A file can't be used; the message names it and says what is wrong."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths of PEM files: the certificate with its chain, its key, and the authority of client certificates ("" is none)."""

    cert: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class _Loaded:
    contexts: dict[ClientAuth, ssl.SSLContext]
    expires_at: float  # seconds since 1970


class _Handshake(ssl.SSLObject):
    """Keeps the alert of a failed handshake, which the event loop would discard."""

    outgoing: ssl.MemoryBIO
    alerts: list[bytes]

    def do_handshake(self) -> None:
        """As its parent."""
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError:
            self.alerts.append(self.outgoing.read())
            raise


class _Context(ssl.SSLContext):
    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        """As its parent."""
        made: Any = super().wrap_bio(incoming, outgoing, *args, **options)
        made.outgoing, made.alerts = outgoing, _alerts.get([])
        return cast("ssl.SSLObject", made)


_alerts: ContextVar[list[bytes]] = ContextVar("alerts")
"""Where the handshake puts them that the event loop makes on behalf of this task."""


class Certificate:
    """The certificate in force. Raises `UnusableCertificate` where the files make none."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._seen = _signature(files)
        self._loaded = _load(files)
        self._failed: tuple[Any, ...] | None = None  # what was seen and logged, if the newest files can't be used
        self._loading = asyncio.Lock()  # one load after another: what is in force is always what was read last
        self._asked = False  # a load that has not begun serves all requests made meanwhile
        self._warned = False
        self.reloads: dict[str, int] = Counter()  # by outcome: "loaded", "failed"

    @property
    def expires_at(self) -> float:
        """When it ends, in seconds since 1970."""
        return self._loaded.expires_at

    @property
    def expires(self) -> str:
        """The same as RFC 3339 writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires_at))

    @property
    def warning(self) -> str | None:
        """What `/readyz` reports of its expiry, from two weeks before it on."""
        left_s = self.expires_at - time.time()
        if left_s > TLS_EXPIRY_WARNING_S:
            return None
        return "tls_certificate_expires" if left_s > 0 else "tls_certificate_expired"

    def context(self, client_auth: ClientAuth) -> ssl.SSLContext:
        """What a handshake that begins now is made with."""
        return self._loaded.contexts[client_auth]

    async def watch(self) -> None:
        """Load the files again whenever they have changed, until cancelled. Those that can't be used are tried at every look: they may be readable,
        or valid, by then.
        """
        while True:
            await asyncio.sleep(TLS_LOOK_S)
            async with self._loading:
                seen = await asyncio.to_thread(_signature, self._files)
                if seen != self._seen or self._failed is not None:
                    await self._load_again(seen, is_asked=False)
            self._warn_of_end()

    async def reload(self) -> None:
        """Load the files again, in a thread: they may lie on a disk that takes its time. What can't be used changes nothing."""
        if self._asked:
            return
        self._asked = True
        async with self._loading:
            self._asked = False
            await self._load_again(await asyncio.to_thread(_signature, self._files), is_asked=True)

    async def _load_again(self, seen: tuple[Any, ...], *, is_asked: bool) -> None:
        self._seen = seen
        try:
            self._loaded = await asyncio.to_thread(_load, self._files)
        except UnusableCertificate as error:
            failed = (seen, str(error))
            if is_asked or failed != self._failed:
                self.reloads["failed"] += 1
                log.error("the TLS certificate was not reloaded, and the old one stays in force", reason=str(error))  # noqa: TRY400
            self._failed = failed
        else:
            self._failed = None
            self.reloads["loaded"] += 1
            self._warned = False
            log.info("the TLS certificate was reloaded", expires=self.expires)

    def _warn_of_end(self) -> None:
        if self.warning is not None and not self._warned:
            self._warned = True
            log.warning("the TLS certificate is near its end", certificate=self._files.cert, expires=self.expires)


def _signature(files: CertificateFiles) -> tuple[Any, ...]:
    """Differs if one of the files has been changed or replaced."""
    seen = []
    for path in (files.cert, files.key, files.client_ca):
        with contextlib.suppress(OSError):
            found = os.stat(path)  # noqa: PTH116  (of a path that may be "")
            seen.append((path, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size))
    return tuple(seen)


def _load(files: CertificateFiles) -> _Loaded:
    _read(files.cert, b"-----BEGIN CERTIFICATE-----", "certificate")
    _read(files.key, b"PRIVATE KEY-----", "private key")
    if files.client_ca:
        _read(files.client_ca, b"-----BEGIN CERTIFICATE-----", "certificate of an authority")
    modes: tuple[ClientAuth, ...] = ("none", "optional", "required") if files.client_ca else ("none",)
    contexts = {mode: _context(files, mode) for mode in modes}
    return _Loaded(contexts, _prove(files, contexts["none"]))


def _read(path: str, sign: bytes, what: str) -> None:
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UnusableCertificate(f"{path} can't be read: {error.strerror}.") from None
    if sign not in text:
        raise UnusableCertificate(f"{path} holds no {what} in PEM.")


def _context(files: CertificateFiles, client_auth: ClientAuth) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])

    def encrypted() -> str:
        raise UnusableCertificate(
            f"The key in {files.key} is encrypted, and a server can't ask for its passphrase: use one that is not encrypted."
        )

    try:
        context.load_cert_chain(files.cert, files.key, encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            said = f"The key in {files.key} is not that of the certificate in {files.cert}."
        else:
            said = f"{files.cert} and {files.key} can't be used: {_reason(error)}."
        raise UnusableCertificate(said) from None
    except OSError as error:  # changed since it was read
        raise UnusableCertificate(f"{files.cert} or {files.key} can't be read: {error.strerror}.") from None
    if client_auth != "none":
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise UnusableCertificate(f"{files.client_ca} can't be used: {error.strerror}.") from None
        context.verify_mode = _MODES[client_auth]
    return context


def _prove(files: CertificateFiles, context: ssl.SSLContext) -> float:
    """Make a handshake with a client that trusts it; returns its expiry."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname = False
    ours.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be its own authority
    try:
        ours.load_verify_locations(files.cert)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        client = ours.wrap_bio(to_client, to_server)
        for end in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
        found: Any = client.getpeercert()
    except ssl.SSLCertVerificationError as error:
        when = {_EXPIRED: "has expired", _NOT_YET_VALID: "is not valid yet"}.get(error.verify_code)
        raise UnusableCertificate(
            f"The certificate in {files.cert} {when or 'is not valid: ' + error.verify_message}."
        ) from None
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UnusableCertificate(f"{files.cert} can't be used: {_reason(error)}.") from None
    return ssl.cert_time_to_seconds(found["notAfter"])


def _reason(error: Exception) -> str:
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()


def contexts(certificate: Certificate | None, client_auth: ClientAuth | None) -> Callable[[], ssl.SSLContext] | None:
    """What each handshake of a door is made with; None for a door without TLS."""
    return None if certificate is None or client_auth is None else partial(certificate.context, client_auth)


class _Transport:
    """A TLS transport that accepts writes in pieces. The event loop would encrypt all of it at once, and no longer count it as
    unread: the bound on what is held for a connection has to see it. The writer is paused only once all of it is written.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._limits: tuple[int | None, int | None] = (None, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of any transport."""
        self._limits = (high, low)
        self._transport.set_write_buffer_limits(high, low)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As of any transport."""
        view = memoryview(data)
        if len(view) <= _PIECE_BYTES:
            self._transport.write(data)
            return
        self._transport.set_write_buffer_limits(self._transport.get_write_buffer_size() + 2 * len(view), 0)
        for start in range(0, len(view), _PIECE_BYTES):
            self._transport.write(view[start : start + _PIECE_BYTES])
        self._transport.set_write_buffer_limits(*self._limits)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """As of any transport."""
        for part in parts:
            self.write(part)


class _Begin(asyncio.Protocol):
    """Installs the protocol of a door once the handshake is done, with the transport in pieces."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        made, over = self._protocol(), cast("asyncio.Transport", transport)
        over.set_protocol(made)
        made.connection_made(cast("asyncio.Transport", _Transport(over)))


class TlsListener:
    """Accepts connections from a listening socket and makes handshakes, bounded in time and in number; then passes them to the
    door.

    It accepts directly, not by `create_server`: so an address is known, and may be refused, before a handshake costs anything,
    plain HTTP is distinguished from TLS by its first byte, and a failed handshake ends with its alert.

    `plainly` is the answer to a peer without TLS. Failed handshakes are counted in `failed`, by reason.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext],
        plainly: bytes,
        failed: dict[str, int],
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._context = context
        self._plainly = plainly
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._limit = ConnectionLimit(HANDSHAKES, HANDSHAKES_PER_ADDRESS, HANDSHAKES_PER_ADDRESS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more; handshakes in progress are abandoned."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when the last handshake has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("no connection can be taken in", reason=error.strerror)  # noqa: TRY400
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE_S, self._go_on)
                return
            self._begin(sock, address[0])

    def _go_on(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _begin(self, sock: socket.socket, address: str) -> None:
        place = self._limit.enter(address)
        if place is None:
            self._failed["too many"] += 1
            sock.close()
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._shake_hands(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: place.leave())

    async def _shake_hands(self, sock: socket.socket) -> None:
        is_in = False
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                if await self._speaks_tls(sock):
                    await self._connect(sock)
                    is_in = True
                else:
                    await self._tell_plainly(sock)
        except TimeoutError:
            self._failed["timeout"] += 1
        except ssl.SSLError as error:
            self._failed[_reason(error)] += 1
        except OSError:
            self._failed["hung up"] += 1
        finally:
            if not is_in:
                sock.close()

    async def _connect(self, sock: socket.socket) -> None:
        """Make the handshake, and pass the connection to the door; raises `OSError`, after the peer got the alert."""
        alerts: list[bytes] = []
        _alerts.set(alerts)
        with sock.dup() as spare:  # the event loop closes the other one
            try:
                await self._loop.connect_accepted_socket(
                    lambda: _Begin(self._protocol),
                    sock,
                    ssl=self._context(),
                    ssl_handshake_timeout=HANDSHAKE_S,
                    ssl_shutdown_timeout=LINGER_S,
                )
            except ssl.SSLError:
                await self._say(spare, b"".join(alerts))
                raise

    async def _speaks_tls(self, sock: socket.socket) -> bool:
        """Whether the first byte begins a handshake; raises `OSError` if none arrives."""
        readable = asyncio.Event()
        self._loop.add_reader(sock, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(sock)
        first = sock.recv(1, socket.MSG_PEEK)
        if not first:
            raise ConnectionResetError("it was closed before it began")
        return first == _HANDSHAKE_RECORD

    async def _tell_plainly(self, sock: socket.socket) -> None:
        self._failed["not tls"] += 1
        await self._say(sock, self._plainly)

    async def _say(self, sock: socket.socket, last: bytes) -> None:
        """Send the last bytes, and read until the peer has closed: with unread input the kernel would discard them."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(LINGER_S):
                await self._loop.sock_sendall(sock, last)
                sock.shutdown(socket.SHUT_WR)
                while await self._loop.sock_recv(sock, _READ_BYTES):
                    pass
