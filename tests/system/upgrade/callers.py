"""A producer or a worker of whichever Holdfast is on the path, in a process of its own, until SIGTERM.

python callers.py produce NAME URL,URL      a line `id key` for each job that was acknowledged
python callers.py work NAME URL,URL         a line `id attempt` for each attempt that its handler was called for
"""

import signal
import sys
import threading

from holdfast import Client, Worker

END = threading.Event()


def told(*what: object) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


def produce(name: str, urls: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: END.set())
    with Client(urls) as client:
        number = 0
        while not END.wait(0.02):
            number += 1
            key = f"{name}-{number}"
            told(client.enqueue("load", {"key": key}, idempotency_key=key, tags=[name]).id, key)


def work(name: str, urls: list[str]) -> None:
    worker = Worker("load", url=urls, name=name, concurrency=4, register=True)

    @worker.handler()
    def handle(job):
        told(job.id, job.attempt)
        return job.payload

    worker.run()


if __name__ == "__main__":
    {"produce": produce, "work": work}[sys.argv[1]](sys.argv[2], sys.argv[3].split(","))
