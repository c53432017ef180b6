"""One call over all its tries: used by every method of the client."""

import secrets
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import tenacity

from holdfast.client.aio.transport import AsyncTransport
from holdfast.client.contents import encode
from holdfast.client.retry import (
    DEADLINE_S,
    Answer,
    Call,
    Lost,
    Nodes,
    NotSent,
    Retry,
    RetryState,
    StreamRefused,
    decode,
    new_key,
)
from holdfast.client.tls import Path, context_of
from holdfast.client.tokens import Hidden, bearer, header_line
from holdfast.errors import HoldfastError

T = TypeVar("T")
_JSON = "Content-Type: application/json\r\n"
_SILENCE_S = 45.0  # a stream sends something at least every 15 seconds
_RETRY = tenacity.retry_if_exception_type(Retry)


class AsyncCaller:
    """Sends calls to the first server that answers.

    `url`: one base URL, several separated by commas, or a list; else `HOLDFAST_URL`, else `http://127.0.0.1:4653`. `token` is sent as
    `Authorization: Bearer`; else `HOLDFAST_TOKEN`. `deadline_s` bounds one call over all its tries; without it a call about one thing has
    2 s, and one about many 60 s. `attempt_s` bounds one try: 20 s, or with several URLs its share of the deadline, if that is less. What
    the server was asked to wait is added to both.

    Over https://, the server's certificate is verified: with the authorities of this machine, or those in `ca_file` (else `HOLDFAST_CA_FILE`).
    `client_cert` and `client_key` (else `HOLDFAST_CLIENT_CERT`, `HOLDFAST_CLIENT_KEY`) are shown to servers that ask for a certificate; the
    key may stand in the file of the certificate. All are PEM files. A `context` takes the place of all three.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        ca_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.nodes = Nodes(url)
        self.deadline_s = deadline_s
        self._attempt_s = attempt_s
        self._headers = Hidden("".join(header_line(*header) for header in bearer(token).items()))
        self._transport = AsyncTransport(context or context_of(ca_file, client_cert, client_key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    @contextmanager
    def as_one(self, target: str, queue: str = "") -> Iterator[None]:
        """All that this client does to jobs within is one entry of the audit log, with a count. `target` describes the jobs,
        such as a filter.
        """
        before = self._headers
        run = urlencode({"run": secrets.token_hex(8), "target": target, "queue": queue}, errors="replace")
        self._headers = Hidden(before + header_line("Holdfast-Run", run))
        try:
            yield
        finally:
            self._headers = before

    def within(self, deadline_s: float) -> Self:
        """This client with another deadline. It uses the same connections: closing one closes both."""
        other = copy(self)
        other.deadline_s = deadline_s
        return other

    async def _get(self, kind: type[T], path: str, wait_ms: int = 0, deadline_s: float = DEADLINE_S) -> T:
        return await self._call(kind, Call("GET", path, wait_ms=wait_ms, deadline_s=deadline_s))

    async def _post(
        self,
        kind: type[T],
        path: str,
        body: Any = None,
        repeatable: bool = True,
        wait_ms: int = 0,
        deadline_s: float = DEADLINE_S,
    ) -> T:
        return await self._send(kind, "POST", path, body, repeatable, wait_ms, deadline_s)

    async def _send(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Any = None,
        repeatable: bool = True,
        wait_ms: int = 0,
        deadline_s: float = DEADLINE_S,
    ) -> T:
        sent = None if body is None else encode(body)
        return await self._call(kind, Call(method, path, sent, "" if body is None else _JSON, repeatable, wait_ms, deadline_s))

    async def _create(
        self,
        kind: type[T],
        path: str,
        body: bytes,
        key: str | None,
        wait_ms: int = 0,
        content_type: str | None = None,
        deadline_s: float = DEADLINE_S,
        lease: str | None = None,
    ) -> T:
        """A call that creates: its key is made once, so that repeating it never creates twice."""
        headers = _JSON if content_type is None else header_line("Content-Type", content_type)
        if lease is not None:
            headers += header_line("Lease-Token", lease)
        if key:
            headers += header_line("Idempotency-Key", key)
        else:
            key = new_key()
            headers += f"Idempotency-Key: {key}\r\n"
        return await self._call(kind, Call("POST", path, body, headers, True, wait_ms, deadline_s, key))

    async def _delete(self, path: str, gone: type[HoldfastError], deadline_s: float = DEADLINE_S) -> None:
        """Remove; not found is no error if an earlier try may have removed it."""
        try:
            await self._answered(Call("DELETE", path, deadline_s=deadline_s))
        except gone as error:
            if not error.repeated:
                raise

    async def _call(self, kind: type[T], call: Call) -> T:
        return decode(kind, await self._answered(call))

    async def _answered(self, call: Call) -> bytes:
        trial = RetryState(call, self.nodes, self.deadline_s, self._attempt_s)
        headers = self._headers
        try:
            return await self._once(trial, headers)
        except Retry as again:
            first = again
        return await self._again(trial, headers, first)  # out here, or each error of it would show the first one as well

    async def _again(self, trial: RetryState, headers: str, first: Retry) -> bytes:
        """Try on, after a first try that came to nothing: most calls need no more than one, and no machinery for more."""
        failed: Retry | None = first
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=_RETRY, wait=trial.wait, stop=trial.stop, after=trial.failed, reraise=True
            ):
                with attempt:
                    if failed is not None:
                        error, failed = failed, None
                        raise error
                    return await self._once(trial, headers)
        except Retry as again:
            raise again.final from again.__cause__
        raise AssertionError("a call is answered or refused")

    async def _once(self, trial: RetryState, headers: str) -> bytes:
        url = self.nodes.current
        try:
            answer = await self._transport.request(url, trial.call, headers, trial.try_until())
        except NotSent as error:
            trial.not_sent(url, error)
        except Lost as error:
            trial.lost(url, error)
        return trial.judge(url, answer)

    async def _lines(self, call: Call) -> AsyncIterator[bytes]:
        """The lines of a stream, until it ends or breaks off; raises a refusal, and `Lost` or `NotSent`."""
        url = self.nodes.current
        try:
            async for line in self._transport.lines(url, call, self._headers, _SILENCE_S):
                yield line
        except StreamRefused as refused:
            self._judge_stream(url, call, refused.answer)
        finally:
            self.nodes.leave(url)

    def _judge_stream(self, url: str, call: Call, answer: Answer) -> None:
        try:
            trial = RetryState(call, self.nodes, 0.0, None)
            trial.judge(url, answer)
            trial.not_ours(url, answer)  # it says 200, and is no stream
        except Retry as again:
            raise again.final from None
