"""The application: it takes an order, enqueues what follows, and answers before that is done."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from orders import Order, pack, tasks

from holdfast.errors import HoldfastError, JobNotFound, QueueFull


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep one client for all requests, and close its connections at the end."""
    async with tasks.aclient:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def take(order: Order, idempotency_key: Annotated[str | None, Header(max_length=128)] = None) -> dict[str, int]:
    """An answer means that the job is kept. With the same key again it is the same job."""
    once = pack.options(idempotency_key=idempotency_key) if idempotency_key else pack
    return {"job": (await once.aenqueue(order)).id}


@app.get("/orders/{job}")
async def look(job: int) -> dict[str, Any]:
    """What has become of it."""
    found = await tasks.aclient.job(job)
    return {"state": found.state, "result": found.result, "failed": [error.reason for error in found.errors]}


@app.exception_handler(HoldfastError)
async def refused(_: Request, error: HoldfastError) -> JSONResponse:
    """Hand on what the server says: full is 429, not there is 404, anything else is 503, and nothing was lost silently."""
    status = 429 if isinstance(error, QueueFull) else 404 if isinstance(error, JobNotFound) else 503
    after = math.ceil(error.fields.get("retry_after_ms", 1_000) / 1_000)
    headers = {"Retry-After": str(after)} if status != 404 else {}
    return JSONResponse({"error": error.code, "detail": str(error)}, status, headers)
