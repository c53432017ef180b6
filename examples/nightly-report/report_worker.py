"""The worker: its schedule, the report, and the mail that follows it. SHOP_DB names the shop's database, OUTBOX a folder for mails."""

import os
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

from holdfast import Client, HeldJob, NewJob, Worker

QUEUE, SCHEDULE, ZONE = "example-reports", "example-nightly-report", "Europe/Vienna"
worker = Worker(QUEUE, register=True)


def set_schedule(client: Client) -> None:
    """Make the schedule, or bring it up to date: each start of each worker may do it, for the same schedule stays one.

    Half past two in Vienna, in summer and in winter. If the server was down then, it runs once as soon as it is back (`missed`).
    """
    client.set_schedule(SCHEDULE, cron="30 2 * * *", timezone=ZONE, queue=QUEUE, type="report", missed="one", overlap=False)


@worker.handler("report", timeout_s=300)
def report(job: HeldJob) -> dict[str, str | int]:
    """Sum up the day before the run. The job's own time says which day, not the clock: a try on the next day reports the same."""
    day = job.job.created_at.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
    rows = sales(day)
    text = "".join(f"{product:<10}{count:>5}{cents / 100:>10.2f}\n" for product, count, cents in rows)
    mail = {"to": "boss@example.org", "subject": f"Sales of {day}", "text": text or "No sales.\n"}
    # The mail is a job of its own, enqueued in the transaction that concludes this one: no report without its mail, no second
    # mail for a report, and a mail server that is down costs no second query.
    job.follow(NewJob(queue=QUEUE, type="mail", payload=mail))
    return {"day": str(day), "rows": len(rows)}


def sales(day: date) -> list[tuple[str, int, int]]:
    """The products sold on that day: name, how many orders, how many cents."""
    with closing(sqlite3.connect(f"file:{os.environ['SHOP_DB']}?mode=ro", uri=True)) as shop:
        return shop.execute(
            "SELECT product, count(*), sum(cents) FROM orders WHERE day = ? GROUP BY product ORDER BY product", (str(day),)
        ).fetchall()


@worker.handler("mail", timeout_s=60)
def mail(job: HeldJob) -> str:
    """Put it into the outbox; ../mail-sender really sends. Its name is that of the report, so a second try replaces the file."""
    message = EmailMessage()
    message["To"], message["Subject"] = job.payload["to"], job.payload["subject"]
    message.set_content(job.payload["text"])
    target = Path(os.environ["OUTBOX"]) / f"{job.payload['subject'].lower().replace(' ', '-')}.eml"
    target.with_suffix(".new").write_bytes(bytes(message))
    target.with_suffix(".new").replace(target)  # whole, or not there
    return target.name


if __name__ == "__main__":
    with Client() as client:
        set_schedule(client)
    print("ready", flush=True)
    worker.run()
