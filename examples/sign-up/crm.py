"""The sales team's worker: it makes a contact of each sign-up."""

from holdfast import HeldJob, Worker

worker = Worker("example-crm", register=True)


@worker.handler()
async def contact(job: HeldJob) -> dict[str, str]:
    """Make the contact."""
    return {"contact": f"C-{job.payload['user']}", "name": job.payload["name"]}


if __name__ == "__main__":
    worker.run()
