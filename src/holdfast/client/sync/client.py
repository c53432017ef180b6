# Generated from client/aio/client.py by `make client`. Change that one.
"""The whole client: one class with every call."""

from holdfast.client.sync.batches import Batches
from holdfast.client.sync.budgets import Budgets
from holdfast.client.sync.consumer import Consumer
from holdfast.client.sync.fair import Fair
from holdfast.client.sync.jobs import Jobs
from holdfast.client.sync.keys import Keys
from holdfast.client.sync.operations import Operations
from holdfast.client.sync.queues import Queues
from holdfast.client.sync.system import System


class Client(Batches, Consumer, Jobs, Queues, Fair, Budgets, Operations, System, Keys):
    """Talks to Holdfast: retries what may be repeated, and raises what `holdfast.errors` names.

    with Client("http://127.0.0.1:4653") as client:
        receipt = client.enqueue("mail", {"to": "ada@example.org"})
        result = client.result(receipt.id)
    """
