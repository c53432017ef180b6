"""What `holdfast dev --demo` runs: some tasks of a shop, so that there is something to see."""

import asyncio
import random
from datetime import timedelta

from holdfast.tasks import Job, Retry, Tasks

tasks = Tasks(queue="demo")
_STEPS = 5


@tasks.task(retry=Retry(base=2, max=10), max_attempts=5)
async def send_mail(user_id: int, template: str = "welcome") -> str:
    """Fails now and then, and is tried again."""
    await asyncio.sleep(random.uniform(0.05, 0.5))  # noqa: S311
    if random.random() < 0.2:  # noqa: S311
        raise ConnectionError("the mail server does not answer")
    return f"{template} to user {user_id}"


@tasks.task
async def resize(job: Job, image: str) -> dict[str, int]:
    """Takes a while, and reports its progress."""
    for step in range(_STEPS):
        job.note({"step": step + 1, "of": _STEPS})
        await asyncio.sleep(1)
    job.follow(send_mail.job(user_id=1, template=f"{image} is ready"))
    return {"width": 640, "height": 480}


@tasks.task(max_attempts=1)
def charge(order: int) -> None:
    """Is dead at once."""
    raise LookupError(f"there is no order {order}")


@tasks.every(timedelta(seconds=10), missed="skip")
@tasks.task
async def tick() -> None:
    """Runs by itself."""


def begin() -> None:
    """Enqueue some jobs."""
    send_mail.many(send_mail.job(user_id) for user_id in range(1, 21))
    send_mail.options(delay=timedelta(minutes=5)).enqueue(21, template="reminder")
    for image in ("cat.png", "dog.png", "owl.png"):
        resize.enqueue(image)
    charge.enqueue(7)
