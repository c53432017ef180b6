"""Real objects to name in a case: jobs, tokens of leases, workers, and the cookie and token of a form. They are renewed during
a run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fuzz import values
from torture.wire import Wire

QUEUE = "fuzz-stock"  # no case names this queue
NO_TOKEN = "1.1.1.00000000000000000000000000000000"


@dataclass(slots=True)
class Stock:
    """The objects that exist now."""

    port: int
    described: dict[str, Any] = field(default_factory=dict)  # the OpenAPI document
    jobs: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    cookie: str = ""
    form_token: str = ""

    async def open(self) -> None:
        """Read the OpenAPI document, and the cookie and token of a form."""
        wire = Wire(self.port, 30.0)
        self.described = json.loads((await wire.request("GET", "/openapi.json")).body)
        self.described["paths"].pop("/v1/keys")  # with the first key, all requests would need one
        page = await wire.exchange(
            b"GET /web/schedules HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", lambda reader: reader.read()
        )
        wire.close()
        if cookie := re.search(rb"(?i)set-cookie: ([^;\r\n]+)", page):
            self.cookie = cookie[1].decode()  # with its name
        if token := re.search(rb'name="form_token" value="([^"]+)"', page) or re.search(
            rb'value="([^"]+)" name="form_token"', page
        ):
            self.form_token = token[1].decode()
        await self.renew()

    async def renew(self) -> None:
        """Create new jobs, and lease half of them."""
        wire = Wire(self.port, 30.0)
        jobs = {"jobs": [{"queue": QUEUE, "payload": number} for number in range(24)]}
        pushed = await wire.request("POST", "/v1/jobs", json.dumps(jobs).encode())
        leased = await wire.request(
            "POST", "/v1/leases", json.dumps({"queues": [QUEUE], "max": 12, "lease_ms": 60_000}).encode()
        )
        worker = await wire.request("POST", "/v1/workers", b'{"queues":["fuzz"]}')
        wire.close()
        if (pushed.status, leased.status, worker.status) == (201, 200, 201):
            self.jobs = [job["id"] for job in json.loads(pushed.body)["jobs"]]
            self.tokens = [job["lease"]["token"] for job in json.loads(leased.body)["jobs"]]
            self.workers = [json.loads(worker.body)["id"]]

    def job(self, draw: Random) -> int:
        """The id of a job."""
        return draw.choice(self.jobs or [1 << 50])

    def number(self, draw: Random) -> str:
        """The id as text, sometimes odd."""
        return draw.choice(values.NUMBERS[7:]) if draw.random() < 0.1 else str(self.job(draw))

    def token(self, draw: Random) -> str:
        """The token of a lease, sometimes corrupted."""
        token = draw.choice(self.tokens or [NO_TOKEN])
        kind = draw.randrange(12)
        if kind == 0:
            return token.upper()
        if kind == 1:
            return token.replace(".", "..", 1)
        if kind == 2:
            return draw.choice(values.NUMBERS) + token[1:]
        return token if kind > 3 else NO_TOKEN
