"""A worker as a program of its own, for tests that signal and kill it."""

import asyncio
import logging
import os
import sys
import time

from holdfast import Worker

log = logging.getLogger("program")
OPTIONS = {"concurrency": int, "lease_ms": int, "grace_s": float, "prefetch": int, "live": int}


def busy(job):
    """Computes, in a process or a thread, for so many seconds."""
    until = time.monotonic() + job.payload
    turns = 0
    while time.monotonic() < until:
        turns += 1
    return turns > 0


def pid(job):
    return os.getpid()


def die(job):
    os._exit(3)


def main() -> None:
    url, queue, *given = sys.argv[1:]
    logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
    options = {name: OPTIONS[name](value) for name, _, value in (each.partition("=") for each in given)}
    worker = Worker(queue, url=url, **options)
    worker.handler("busy process", process=True)(busy)
    worker.handler("busy thread")(busy)
    worker.handler("pid", process=True)(pid)
    worker.handler("die", process=True)(die)
    worker.handler("slow process", process=True, timeout_s=0.5)(busy)

    @worker.handler("blocks the loop")
    async def block(job):
        time.sleep(job.payload)  # noqa: ASYNC251  (a blocked loop is what is tested)
        return "done"

    @worker.handler("sleep")
    async def sleep(job):
        log.info("begun %d", job.id)
        job.note({"attempt": job.attempt})
        await asyncio.sleep(job.payload)
        return job.attempt

    @worker.handler("stubborn")
    def stubborn(job):
        log.info("begun %d", job.id)
        time.sleep(job.payload)

    worker.run()


if __name__ == "__main__":
    main()
