"""Taking jobs under a lease, and ending the lease. All of it may be repeated after a lost answer, and is."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.budgets import Block
from holdfast.client.outcomes import Ended, ended
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.client.types import Conclude, Extend, Extended, Fail, Job, Leased, NewJob, Outcome, Raised, Release
from holdfast.errors import LeaseLost, OutcomeUnknown

T = TypeVar("T")
_IN_PATH: Any = UNSET  # the token of an entry, where it is the path that names it


class Batched(msgspec.Struct):
    """The answer to a batch, before its entries are decoded."""

    conclude: list[msgspec.Raw]
    fail: list[msgspec.Raw]
    release: list[msgspec.Raw]
    extend: list[msgspec.Raw]


class Consumer(AsyncCaller):
    """`lease`, and the verbs of a lease: `conclude`, `fail`, `release`, `extend`, and `batch` for many of them."""

    async def lease(
        self,
        queues: str | Sequence[str],
        *,
        max: int = 1,  # noqa: A002  (as the field is called on the wire)
        lease_ms: int | None = None,
        wait_ms: int = 0,
        worker: str = "",
        order: str = "queue",
        request_id: str | None = None,
        types: Sequence[str] | None = None,
    ) -> list[Job]:
        """Take up to `max` jobs, waiting up to `wait_ms` for the first; each has its `lease`. An empty list if none came in
        time. `types`: only jobs of these.
        """
        wanted: dict[str, Any] = {
            "queues": [queues] if isinstance(queues, str) else list(queues),
            "max": max,
            "wait_ms": wait_ms,
            "worker": worker,
            "order": order,
            "request_id": request_id or secrets.token_hex(16),
        }
        if lease_ms is not None:
            wanted["lease_ms"] = lease_ms
        if types is not None:
            wanted["types"] = list(types)
        return (await self._post(Leased, "/v1/leases", wanted, wait_ms=wait_ms)).jobs

    async def conclude(self, token: str, result: Any = UNSET, *, then: Iterable[NewJob] = ()) -> Outcome:
        """The work is done. `then`: follow-up jobs, enqueued in the same transaction."""
        return await self._verb(Outcome, "conclude", token, Conclude(token=_IN_PATH, result=result, then=list(then)))

    async def fail(
        self,
        token: str,
        reason: str = "",
        *,
        retry: bool = True,
        delay_ms: int | None = None,
        crashed: bool = False,
        error: Raised | None = None,
        block: Block | None = None,
    ) -> Outcome:
        """The attempt failed. With `retry=False` the job is dead; without `delay_ms` its retry policy says when to try again.

        `crashed`: the process that ran it died. It counts as a crash, and the job is ready again at once, unless `delay_ms` is given.
        `error`: what was raised; without a reason, its class and message are the reason.
        `block`: nothing that names this account of a budget starts for a while.
        """
        delay = UNSET if delay_ms is None else delay_ms
        entry = Fail(token=_IN_PATH, reason=reason, retry=retry, delay_ms=delay, crashed=crashed, block=block or UNSET)
        if error is not None:
            entry.error = error
        return await self._verb(Outcome, "fail", token, entry)

    async def release(
        self, token: str, *, delay_ms: int = 0, priority: int | None = None, block: Block | None = None
    ) -> Outcome:
        """Give the job back without a counted attempt. `block`: nothing that names this account of a budget starts for a while, as after a 429."""
        entry = Release(
            token=_IN_PATH, delay_ms=delay_ms, priority=UNSET if priority is None else priority, block=block or UNSET
        )
        try:
            return await self._verb(Outcome, "release", token, entry)
        except LeaseLost as error:
            if error.repeated:
                raise OutcomeUnknown(
                    "The lease is no longer held; an earlier call, whose answer was lost, may have released the job."
                ) from error
            raise

    async def extend(self, token: str, *, lease_ms: int | None = None, progress: Any = UNSET) -> Extended:
        """Prolong the lease, counted from now, and perhaps report progress."""
        entry = Extend(token=_IN_PATH, lease_ms=UNSET if lease_ms is None else lease_ms, progress=progress)
        return await self._verb(Extended, "extend", token, entry)

    async def batch(self, entries: Sequence[Conclude | Fail | Release | Extend]) -> list[Ended]:
        """Up to 1,000 verbs in one call. Returns one outcome for each, in order: what the single verb would return, or the error that it would raise.

        If an entry breaks a bound, the call raises and nothing is done.
        """
        lists: dict[type, list[Any]] = {Conclude: [], Fail: [], Release: [], Extend: []}
        for entry in entries:
            lists[type(entry)].append(entry)
        body = {kind.__name__.lower(): listed for kind, listed in lists.items() if listed}
        said = await self._post(Batched, "/v1/leases/batch", body, deadline_s=LONG_DEADLINE_S)
        given = {kind: iter(getattr(said, kind.__name__.lower())) for kind in lists}
        return [ended(entry, next(given[type(entry)])) for entry in entries]

    async def _verb(self, kind: type[T], verb: str, token: str, entry: msgspec.Struct) -> T:
        return await self._post(kind, path("/v1/leases/{}/" + verb, token), entry)
