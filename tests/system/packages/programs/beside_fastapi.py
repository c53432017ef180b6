"""A FastAPI application, served by uvicorn, that enqueues a job for each request."""

import threading
import time
import urllib.request

import uvicorn
from fastapi import FastAPI

from holdfast import AsyncClient, Worker
from holdfast.testing import LocalServer

app = FastAPI()
worker = Worker("mail")


@worker.handler("welcome")
async def welcome(job):
    return f"sent to {job.payload['to']}"


@app.post("/people/{name}")
async def register(name: str) -> dict[str, int]:
    async with AsyncClient(queues.url) as client:
        return {"job": (await client.enqueue("mail", {"to": name}, type="welcome")).id}


with LocalServer() as queues:
    web = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=web.run)
    thread.start()
    while not web.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = web.servers[0].sockets[0].getsockname()[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/people/ada", data=b"") as answer:
        print(answer.read().decode())
    print(dict(queues.drain(worker)))
    web.should_exit = True
    thread.join()
