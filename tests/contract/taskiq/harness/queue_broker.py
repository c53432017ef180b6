"""The broker that taskiq's tests have in their module `utils`; here it is Holdfast's."""

import asyncio
import itertools
import os

from holdfast.taskiq import HoldfastBroker

_numbers = itertools.count()


class AsyncQueueBroker(HoldfastBroker):
    """A queue of its own on the server."""

    def __init__(self):
        super().__init__(os.environ["HOLDFAST_URL"], queue=f"q{os.getpid()}.{next(_numbers)}")

    async def wait_tasks(self):
        """Until none waits and none is run."""
        while (jobs := (await self.client.queue(self.queue)).jobs).ready + jobs.leased:  # noqa: ASYNC110  (it can only be asked about)
            await asyncio.sleep(0.02)
