"""A small Celery project, as it was with another broker: `broker` and the line that imports ours are what moving it has changed."""

import os
import time
from pathlib import Path

from celery import Celery, chord

import holdfast.celery  # noqa: F401

app = Celery("shop", broker=os.environ["BROKER"], backend="file://" + os.environ["RESULTS"])
app.conf.broker_transport_options = {"lease_s": float(os.environ.get("LEASE_S", "60"))}
app.conf.beat_schedule = {"every second": {"task": "shop.note", "schedule": 1.0, "args": ["beat"]}}
app.conf.worker_prefetch_multiplier = int(os.environ.get("MULTIPLIER", "4"))

DONE = Path(os.environ["RESULTS"]) / "done.txt"


@app.task(name="shop.note")
def note(text: str) -> None:
    with DONE.open("a") as file:
        file.write(f"{text}\n")


@app.task(name="shop.price")
def price(article: int) -> int:
    return article * 10


@app.task(name="shop.total")
def total(prices: list[int]) -> int:
    return sum(prices)


@app.task(name="shop.slow", acks_late=True, reject_on_worker_lost=True, bind=True)
def slow(self, seconds: float) -> str:
    note.run(f"slow in {os.getppid()} redelivered {self.request.delivery_info['redelivered']}")
    time.sleep(seconds)
    note.run("slow is done")
    return "done"


def order(articles: list[int]):
    return chord([price.s(article) for article in articles])(total.s())
