"""The application: it enqueues three mails, then waits to see what became of them, which a web request would not do."""

from holdfast import Client

QUEUE = "example-mail"
MAILS = [
    {"message_id": f"welcome-{number}@shop.example.org", "to": to, "subject": "Welcome", "text": "We are glad that you came.\n"}
    for number, to in enumerate(["ada@example.org", "slow@example.org", "nobody@example.org"], 1)
]

with Client() as client:
    # The message's id is the idempotency key too: a repeated call, or a program that runs again, makes no second job.
    ids = [client.enqueue(QUEUE, mail, type="mail", idempotency_key=mail["message_id"]).id for mail in MAILS]
    again = client.enqueue(QUEUE, MAILS[0], type="mail", idempotency_key=MAILS[0]["message_id"])
    print(f"enqueued {len(ids)} mails; the first one again is {'the same job' if again.id == ids[0] else 'another job'}")
    for mail, id in zip(MAILS, ids, strict=True):
        job = client.wait(id, timeout_s=60)
        told = job.result if job.state == "concluded" else job.errors[-1].reason
        failed = "".join(
            f"\n    attempt {error.attempt} failed: {error.reason}" for error in job.errors if job.state == "concluded"
        )
        print(f"{mail['to']}: {job.state}, {told}{failed}")
