"""The analysts' worker: it counts each sign-up."""

from holdfast import HeldJob, Worker

worker = Worker("example-analytics", register=True)


@worker.handler()
async def count(job: HeldJob) -> str:
    """Count it, under the user and not as one more: a job may run twice."""
    return f"counted user {job.payload['user']}"


if __name__ == "__main__":
    worker.run()
