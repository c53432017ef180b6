"""The mail team's worker: it takes its copies of sign-ups, and others do not concern it."""

from holdfast import HeldJob, Worker

worker = Worker("example-welcome-mail", register=True)


@worker.handler()
async def welcome(job: HeldJob) -> str:
    """Send the welcome mail; how that is done well is in ../mail-sender."""
    return f"wrote to {job.payload['email']}"


if __name__ == "__main__":
    worker.run()
