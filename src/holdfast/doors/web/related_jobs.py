"""The jobs related to one: those that led to it, and its follow-up jobs, with theirs.

Every job has the id of the job whose conclude enqueued it, and those of its follow-ups; so the chain is walked from the job
itself, up and down, as far as is shown.

    1 ─▶ 2 ─▶ [3] ─┬▶ 4 ─▶ 6
                   └▶ 5
"""

import asyncio
from dataclasses import dataclass

from holdfast.engine.reader import Reader
from holdfast.errors import JobNotFound
from holdfast.job.job import Receipt
from holdfast.messages.views import JobDetail

BACK = 10  # jobs that led to it
ON = 40  # jobs that followed
DEEP = 6  # steps on


@dataclass(frozen=True)
class Relative:
    """A job of the chain. `state` is None if the job no longer exists; `depth` is how many steps it is from the shown one."""

    id: int
    queue: str
    type: str
    state: str | None
    depth: int


@dataclass(frozen=True)
class Family:
    """`before` from the first known one, `after` each right behind the one that it follows; `cut` is a lower bound of how many
    of these are left out.
    """

    before: list[Relative]
    after: list[Relative]
    cut: int = 0


async def around(reading: Reader, detail: JobDetail) -> Family:
    """Whom the job followed, and who followed it."""
    before = await _led_to(reading, detail)
    after, cut = await _followed(reading, detail)
    return Family(before, after, cut)


async def _led_to(reading: Reader, detail: JobDetail) -> list[Relative]:
    found: list[Relative] = []
    number = detail.job.extras.follows
    while number is not None and len(found) < BACK:
        parent = await _known(reading, number)
        found.append(_relative(number, parent, len(found) + 1))
        number = parent.job.extras.follows if parent is not None else None
    return found[::-1]


async def _followed(reading: Reader, detail: JobDetail) -> tuple[list[Relative], int]:
    """Step by step, so that the nearest are shown if there are too many; then in tree order."""
    children: dict[int, list[Relative]] = {}
    step, depth, left, cut = [(detail.job.id, receipt) for receipt in detail.then], 1, ON, 0
    while step and depth <= DEEP:
        cut += max(0, len(step) - left)
        step, left = step[:left], max(0, left - len(step))
        known = await asyncio.gather(*[_known(reading, receipt.id) for _, receipt in step])
        following: list[tuple[int, Receipt]] = []
        for (parent, receipt), child in zip(step, known, strict=True):
            children.setdefault(parent, []).append(_relative(receipt.id, child, depth, receipt.queue))
            following += [(receipt.id, one) for one in child.then] if child is not None else []
        step, depth = following, depth + 1
    return _in_order(children, detail.job.id), cut + len(step)


def _in_order(children: dict[int, list[Relative]], parent: int) -> list[Relative]:
    return [line for child in children.get(parent, []) for line in (child, *_in_order(children, child.id))]


async def _known(reading: Reader, number: int) -> JobDetail | None:
    try:
        return await reading.glance(number)
    except JobNotFound:
        return None


def _relative(number: int, detail: JobDetail | None, depth: int, queue: str = "") -> Relative:
    if detail is None:
        return Relative(number, queue, "", None, depth)
    return Relative(number, detail.job.queue, detail.content.type, detail.job.state.value, depth)
