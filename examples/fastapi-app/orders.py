"""What is done in the background, and where it is kept: one call waits for the server for 2 s at most, and so does the request that makes it."""

from pydantic import BaseModel, Field

from holdfast.tasks import Job, Retry, Tasks

tasks = Tasks(queue="example-fastapi", deadline=2)


class Order(BaseModel):
    """What FastAPI reads from a request, and a worker from a job."""

    item: str = Field(min_length=1, max_length=40)
    count: int = Field(gt=0)


class Packed(BaseModel):
    """The result."""

    label: str
    attempt: int


@tasks.task(max_attempts=5, retry=Retry(base=0.1), timeout=30)
async def pack(job: Job, order: Order) -> Packed:
    """Have an order packed, by a robot that stumbles at first."""
    if job.attempt == 1:
        raise ConnectionError("the robot does not answer")
    return Packed(label=f"{order.count} × {order.item}", attempt=job.attempt)
