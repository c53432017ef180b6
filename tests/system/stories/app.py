"""The program of the stories: a worker process of one release, as a deploy starts it: `python -m tests.system.stories.app QUEUE RELEASE`.

Release 1.1 has a defect in invoices. What is charged goes to the bank, whose address is in BANK.
"""

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path

from holdfast import HeldJob, Worker

AT_ONCE = 200


def began(job: HeldJob) -> None:
    """Leave a sign that the work has begun."""
    Path(os.environ["EXPORTS"], str(job.id)).touch()


def main(queue: str, release: str) -> None:
    """Work until SIGTERM."""
    slots = int(os.environ.get("SLOTS", AT_ONCE))
    worker = Worker(queue, name=f"{queue}-{release}", concurrency=slots, lease_ms=None, grace_s=1, register=True)

    @worker.handler("invoice")
    async def invoice(job: HeldJob) -> str:
        if release == "1.1":
            raise KeyError("customer")
        return f"invoice {job.payload}"

    @worker.handler("mail")
    async def mail(job: HeldJob) -> str:
        if job.payload == "no address":
            raise ValueError(f"job {job.id} has no address")
        return "sent"

    @worker.handler("export")
    async def export(job: HeldJob) -> None:
        began(job)
        await asyncio.Event().wait()

    @worker.handler("slow")
    async def slow(_: HeldJob) -> None:
        await asyncio.sleep(float(os.environ.get("SLOW_S", "0.2")))

    @worker.handler("poison")
    async def poison(_: HeldJob) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @worker.handler("charge")
    def charge(job: HeldJob) -> int:
        with urllib.request.urlopen(f"{os.environ['BANK']}/{job.payload}", timeout=10) as answer:  # of this test
            return int(answer.status)

    worker.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
