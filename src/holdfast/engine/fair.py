"""The verbs about fair shares: weights, and what each key waits for and has."""

from holdfast import limits
from holdfast.engine import checks
from holdfast.engine.reader import Reader
from holdfast.engine.submitter import Submitter
from holdfast.messages.fair_commands import GetShares, SetFairWeight
from holdfast.messages.fair_views import ShareInfo, ShareList


class Fair:
    """Verbs on fair keys. The empty key is that of jobs without one."""

    def __init__(self, submitter: Submitter, reading: Reader) -> None:
        self._submitter = submitter
        self._reading = reading

    async def weigh(self, queue: str, key: str, weight: int | None) -> ShareInfo:
        """Give a key a weight, from its next start on; None: 1 again."""
        command = SetFairWeight(queue, key, weight)
        async with self._submitter.audited(command):
            checks.text("key", key, limits.FAIR_KEY_CHARS)
            checks.number("weight", weight, 1, limits.FAIR_WEIGHT_MAX)
        await self._submitter.manage(command)
        return (await self._reading.as_it_is(GetShares(queue, 1, key=key))).shares[0]

    async def some(self, queue: str, limit: int = limits.LIST_LIMIT_DEFAULT, after: str | None = None) -> ShareList:
        """Keys with what waits and runs of each: those with most waiting first, or in their order behind `after`."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        checks.text("after", after, limits.FAIR_KEY_CHARS)
        return await self._reading.ask(GetShares(queue, limit, after))

    async def one(self, queue: str, key: str) -> ShareInfo:
        """One key, whether or not there is anything of it."""
        checks.text("key", key, limits.FAIR_KEY_CHARS)
        return (await self._reading.ask(GetShares(queue, 1, key=key))).shares[0]
