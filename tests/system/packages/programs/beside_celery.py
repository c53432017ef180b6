"""A Celery task that enqueues a job: one program moves from one queue to the other."""

from celery import Celery
from celery.contrib.testing.worker import start_worker

from holdfast import Worker
from holdfast.testing import LocalServer

app = Celery("mail", broker="memory://", backend="cache+memory://")
worker = Worker("mail")


@worker.handler("welcome")
def welcome(job):
    return f"sent to {job.payload['to']}"


@app.task
def register(name):
    return {"job": queues.client.enqueue("mail", {"to": name}, type="welcome").id}


with LocalServer() as queues, start_worker(app, perform_ping_check=False):
    print(register.delay("ada").get(timeout=30))
    print(dict(queues.drain(worker)))
