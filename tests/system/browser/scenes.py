"""A server with something on every screen: work that goes on, work that fails, a full queue, a paused one; and markup wherever text can be."""

import json
import re
from typing import Any

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'</pre>"
RTL = "\u202egnp.exe"


def everyday(api: Any) -> dict[str, int]:
    """What an operator might meet on a bad morning. Gives some job numbers."""
    numbers = morning(api, fair_key="tenant-7")
    api.http.put("/v1/queues/imports", json={"fair": True}).raise_for_status()
    return numbers | _flow(api, "openai", "report", "tenant-7")


def morning(api: Any, **more: Any) -> dict[str, int]:
    """As much of it as there was in 0.1.0, too; jobs of one queue have `more`."""
    http = api.http
    api.put("mail", {"to": "ada@example.org"}, count=2_400, type="welcome", tags=["vip"])
    api.put("images", {"image": 7}, count=420, type="resize")
    api.put("reports", {"month": "2026-11"}, count=35, type="monthly", delay_ms=3_600_000)
    http.put("/v1/queues/audit", json={"capacity_jobs": 10})
    api.put("audit", {"event": "login"}, count=10)
    http.put("/v1/queues/webhooks", json={"capacity_jobs": 500})
    api.put("webhooks", {"url": "https://example.org/hook"}, count=430, type="deliver")
    api.put("invoices", {"invoice": 4711}, count=60, type="pdf")
    http.post("/v1/queues/invoices/pause")
    for number in range(4):
        held = api.lease("mail", 200, f"mailer-{number}")
        done = [{"token": job["lease"]["token"], "result": {"sent": True}} for job in held]
        http.post("/v1/leases/batch", json={"conclude": done}).raise_for_status()
    api.put("imports", {"file": "orders.csv"}, count=40, type="csv", max_attempts=3, **more)
    dead = 0
    for number, job in enumerate(api.lease("imports", 30, "importer-1")):
        reason = (
            f"Traceback (most recent call last):\n  File 'load.py', line 3\nValueError: row {number} has 7 columns, not 8",
            f"connection to 10.0.0.{number}:5432 refused",
        )[number % 2]
        again = number % 3 == 0
        api.end("fail", job, reason=reason, retry=again, delay_ms=0 if again else None)
        dead = dead if again else job["id"]
    twice = api.lease("imports", 20, "importer-2")[-1]
    api.end("fail", twice, reason="connection to 10.0.0.9:5432 refused", retry=False)
    worker = http.post("/v1/workers", json={"queues": ["images", "mail"], "name": "gpu-7"}).json()["id"]
    http.post("/v1/leases", json={"queues": ["images"], "max": 3, "worker": worker})
    api.lease("images", 6, "resizer-2")
    http.put("/v1/interests/mail", json={"match": {"action": "user.*"}})
    http.put("/v1/interests/audit", json={"match": "*"})
    http.put(
        "/v1/schedules/nightly", json={"queue": "reports", "cron": "0 4 * * *", "timezone": "Europe/Vienna", "payload": {}}
    )
    http.put("/v1/schedules/sweep", json={"queue": "images", "interval_ms": 3_600_000, "payload": {}})
    return {"dead": dead, "twice": twice["id"], "ready": api.put("mail", {"n": 1})[0]}


def _flow(api: Any, budget: str, batch: str, key: str) -> dict[str, int]:
    """A budget, a batch, an operation that takes its time, and a fair key."""
    api.http.put(f"/v1/budgets/{budget}", json={"limit": 100, "per_ms": 60_000, "burst": 20}).raise_for_status()
    job = {"queue": "pages", "type": batch[:60], "delay_ms": 3_600_000, "budgets": [{"name": budget, "key": key}]}
    made = {"name": batch, "jobs": [job] * 3, "on_success": {"queue": "assemble"}, "on_failure": {"queue": "alarm"}}
    begun = {"do": "cancel", "filter": {"queue": "pages", "type": batch[:60]}, "per_s": 0.01}
    return {
        "batch": api.http.post("/v1/batches", json=made).raise_for_status().json()["id"],
        "operation": api.http.post("/v1/operations", json=begun).raise_for_status().json()["id"],
    }


def hostile(api: Any) -> dict[str, int]:
    """Jobs, workers and errors made of markup."""
    payload = {EVIL: [EVIL, RTL, 12345678901234567890123]}
    (dead,) = api.put("evil", payload, type=EVIL[:60], tags=[EVIL[:60], RTL], unique_key=EVIL)
    (job,) = api.lease("evil", worker=EVIL)
    api.end("fail", job, reason=EVIL + RTL + " and on" * 100, retry=False)
    (running,) = api.put("evil", payload, type=EVIL[:60])
    (held,) = api.lease("evil", worker=EVIL)
    api.end("extend", held, progress={"at": EVIL})
    api.http.post("/v1/workers", json={"queues": ["evil"], "name": EVIL})
    api.http.put("/v1/interests/evil", content=json.dumps({"match": {"<b>": "<i>"}}))
    api.http.put("/v1/queues/evil", json={"fair": True}).raise_for_status()
    api.put("evil", payload, fair_key="k" * 128)
    return {"dead": dead, "running": running} | _flow(api, "b" * 128, (EVIL + "n" * 256)[:256], EVIL)


def screens(api: Any, numbers: dict[str, int], queue: str) -> dict[str, str]:
    """Every screen by name."""
    dead = numbers["dead"]
    group = re.search(r"/failures\?group=\w+", api.get(f"/failures?queue={queue}"))
    assert group
    return {
        "overview": "",
        "queue": f"/queues/{queue}",
        "purge": f"/queues/{queue}/purge?ready=1&dead=1",
        "jobs": f"/jobs?queue={queue}&limit=25",
        "dead jobs": "/jobs?state=dead&limit=25",
        "job": f"/jobs/{dead}",
        "payload": f"/jobs/{dead}/payload",
        "failures": "/failures",
        "failures of a group": f"{group[0]}&queue={queue}",
        "workers": "/workers",
        "interests": f"/interests?queue={queue}",
        "schedules": "/schedules",
        "enqueue": f"/enqueue?from={dead}",
        "audit": "/audit",
        "store": "/store",
        "bulk": "/bulk?way=delete&all=1&state=dead",
        "batches": "/batches",
        "batch": f"/batches/{numbers['batch']}",
        "budgets": "/budgets",
        "budget": f"/budgets?name={api.http.get('/v1/budgets').json()['budgets'][0]['name']}",
        "operations": "/operations",
        "operation": f"/operations/{numbers['operation']}",
        "refusal": "/jobs/987654321",
    }
