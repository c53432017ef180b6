"""The task: one call of somebody else's API, for one tenant."""

import os
from urllib.error import HTTPError
from urllib.request import urlopen

from holdfast import BackOff
from holdfast.client import Charge
from holdfast.client.types import NewJob
from holdfast.tasks import Tasks

QUEUE = BUDGET = "example-calls"
API = os.environ["API"]
tasks = Tasks(queue=QUEUE)


@tasks.task(fair=lambda tenant: tenant, timeout=30)
def call(tenant: str, number: int) -> str:
    """Make the call. After a 429 this tenant's calls pause for as long as the API says; those of others go on."""
    try:
        with urlopen(f"{API}/{tenant}/{number}", timeout=10) as answer:  # noqa: S310  (the API of this example)
            text: str = answer.read().decode()
    except HTTPError as error:
        if error.code != 429:
            raise
        seconds = float(error.headers.get("Retry-After", "1"))
        raise BackOff(BUDGET, for_ms=round(1_000 * seconds)) from error  # with the key of this job
    return text


def calls_of(tenant: str, count: int) -> list[NewJob]:
    """Calls that a tenant wants. Each pays from the tenant's own account of the budget."""
    paid = call.options(budgets=[Charge(BUDGET, key=tenant)])
    return [paid.job(tenant, number) for number in range(count)]
