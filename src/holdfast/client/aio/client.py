"""The whole client: one class with every call."""

from holdfast.client.aio.batches import Batches
from holdfast.client.aio.budgets import Budgets
from holdfast.client.aio.consumer import Consumer
from holdfast.client.aio.fair import Fair
from holdfast.client.aio.jobs import Jobs
from holdfast.client.aio.keys import Keys
from holdfast.client.aio.operations import Operations
from holdfast.client.aio.queues import Queues
from holdfast.client.aio.system import System


class AsyncClient(Batches, Consumer, Jobs, Queues, Fair, Budgets, Operations, System, Keys):
    """Talks to Holdfast: retries what may be repeated, and raises what `holdfast.errors` names.

    async with AsyncClient("http://127.0.0.1:4653") as client:
        receipt = await client.enqueue("mail", {"to": "ada@example.org"})
        result = await client.result(receipt.id)
    """
