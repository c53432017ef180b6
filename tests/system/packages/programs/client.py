"""A producer, and a worker that does its job, against the server that is named."""

import sys

from holdfast import Client, Worker

worker = Worker("mail", url=sys.argv[1])


@worker.handler("welcome")
def welcome(job):
    return f"sent to {job.payload['to']}"


with Client(sys.argv[1]) as client:
    job = client.enqueue("mail", {"to": "ada@example.org"}, type="welcome")
    worker.run(until_empty=True)
    print(client.result(job.id))
