"""Routes of the events that schedules publish: matched outside a commit, and only looked up within it.

    a schedule is due ─▶ commit: is its route known, by the interests of now? ── yes ─▶ jobs
                              └── no ─▶ it stays due, and is missed here ─▶ routed by a task ─▶ the ticker is nudged

So a commit never waits for matching patterns or events whose size others choose.
"""

import asyncio
from collections.abc import Callable

from holdfast.errors import HoldfastError, InternalError, StaleInterests
from holdfast.job.schedule import Schedule
from holdfast.logs import structlog
from holdfast.routing.router import Router

log = structlog.get_logger(__name__)

_KNOWN = 1_000  # schedules whose route is cached
_KNOWN_QUEUES = 200_000  # in all of these routes: about 2 MB, as the names are shared

Found = tuple[int, bytes, list[str] | HoldfastError]


class Routes:
    """A cache of the routes of publishing schedules, filled on demand."""

    def __init__(self, router: Router, found: Callable[[], None]) -> None:
        self._router = router
        self._found = found
        self._known: dict[str, Found] = {}
        self._queues = 0
        self._missed: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def finding(self) -> bool:
        """Whether routes are being matched."""
        return self._task is not None

    @property
    def missed(self) -> bool:
        """Whether a missing route was requested and is not being matched yet."""
        return bool(self._missed)

    def of(self, schedule: Schedule, version: int) -> list[str]:
        """The queues that want its event by the interests of this version; raises `StaleInterests` if it is not matched yet."""
        job = schedule.spec.job
        if job.content_type is not None:
            return []  # only JSON has fields, as with any other event
        known = self._known.get(schedule.name)
        if known is None or known[0] != version or known[1] != job.payload:
            self._missed[schedule.name] = job.payload
            raise StaleInterests(f"The event of the schedule {schedule.name} is not routed yet.")
        if isinstance(known[2], HoldfastError):
            raise known[2].with_traceback(None)  # else it gets longer each time
        return known[2]

    def find(self) -> None:
        """Start matching the missing routes; `found` is called when they are ready."""
        if self._missed and self._task is None:
            self._task = asyncio.create_task(self._find(), name="routes")
            self._task.add_done_callback(self._ended)

    async def settled(self) -> None:
        """Wait until all that was missed is found."""
        while self._missed or self._task is not None:
            self.find()
            if self._task is not None:
                await asyncio.wait({self._task})

    async def _find(self) -> None:
        missed, self._missed = self._missed, {}
        for name, payload in missed.items():
            found: list[str] | HoldfastError
            try:
                version, found = await self._router.route(payload)
            except HoldfastError as error:
                version, found = await self._router.version(), error
            except Exception:
                log.exception("an event of a schedule could not be routed", schedule=name)
                version, found = (
                    await self._router.version(),
                    InternalError("Its event can't be routed; the log has the details."),
                )
            self._remember(name, (version, payload, found))

    def _remember(self, name: str, found: Found) -> None:
        self.forget(name)
        self._known[name] = found
        self._queues += _size(found)
        while len(self._known) > 1 and (len(self._known) > _KNOWN or self._queues > _KNOWN_QUEUES):
            self.forget(next(iter(self._known)))

    def forget(self, name: str) -> None:
        """The schedule is gone: what is known of it takes no memory. Where that does not come to be, it is matched again."""
        before = self._known.pop(name, None)
        if before is not None:
            self._queues -= _size(before)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and task.exception() is None:
            self._found()


def _size(found: Found) -> int:
    """In queues; a payload counts as one for each 80 bytes."""
    return len(found[1]) // 80 + (len(found[2]) if isinstance(found[2], list) else 1)
