"""Visitors. The application runs in this process, without a port, as in its tests; `uvicorn app:app` serves it to others."""

import asyncio
import os
import time
from uuid import uuid4

import httpx
from app import app

PATIENCE_S = float(os.environ.get("PATIENCE_S", "30"))


async def main() -> None:
    """Order twice by the same key, once what can't be, and look until it is packed."""
    key = {"Idempotency-Key": str(uuid4())}
    visitors = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")
    async with app.router.lifespan_context(app), visitors as shop:
        first = await shop.post("/orders", json={"item": "rope", "count": 2}, headers=key)
        again = await shop.post("/orders", json={"item": "rope", "count": 2}, headers=key)
        print(f"ordered: {first.status_code}, and again: {'the same job' if again.json() == first.json() else again.text}")
        wrong = await shop.post("/orders", json={"item": "rope", "count": 0})
        print(f"none of it: {wrong.status_code}, {wrong.json()['detail'][0]['msg']}")
        until = time.monotonic() + PATIENCE_S
        while True:
            now = (await shop.get(f"/orders/{first.json()['job']}")).json()
            if now["state"] == "concluded" or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        print(f"{now['state']}: {now['result']}")
        print(f"  before that: {now['failed']}")


asyncio.run(main())
