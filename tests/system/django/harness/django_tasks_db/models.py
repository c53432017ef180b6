"""What the tests ask of the table of tasks, asked of a server: rows are jobs."""

import os

from holdfast import Client
from holdfast.django.compat import TASKS
from holdfast.django.results import id_of, import_task, new_id, status_of
from holdfast.errors import QueueNotFound

_STATES = {"ready": ("ready",), "successful": ("concluded",), "failed": ("dead", "cancelled"), "running": ("leased",)}


def get_date_max():
    """Not used by what applies."""


class Rows(list):
    """Jobs."""

    def count(self):
        return len(self)


class Manager:
    """`DBTaskResult.objects`."""

    def __getattr__(self, name):
        if name not in _STATES:
            raise AttributeError(name)
        return lambda: Rows(row for row in self.all() if row.job.state in _STATES[name])

    def all(self):
        backend, found = TASKS["default"], Rows()
        client = backend.client(Client)
        for queue in client.queues():
            if queue.name.startswith(os.environ["PREFIX"]):
                try:
                    found += [DBTaskResult(client.job(job.id)) for job in client.jobs(queue=queue.name)]
                except QueueNotFound:
                    continue
        return found

    def count(self):
        return len(self.all())

    def get(self, id):
        (receipt,) = TASKS["default"].client(Client).receipts(str(id))
        return DBTaskResult(TASKS["default"].client(Client).job(receipt.id))

    def create(self, task_path, args_kwargs, backend_name="default"):
        client, id = TASKS[backend_name].client(Client), new_id()
        put = client.enqueue(f"{os.environ['PREFIX']}default", {"id": id, **args_kwargs}, type=task_path, idempotency_key=id)
        return DBTaskResult(client.job(put.id))


class DBTaskResult:
    """One of them."""

    objects = Manager()

    def __init__(self, job):
        self.job = job

    def refresh_from_db(self):
        self.job = TASKS["default"].client(Client).job(self.job.id)

    @property
    def id(self):
        return id_of(self.job)

    @property
    def status(self):
        return status_of(self.job.state)

    @property
    def task(self):
        import_task(self.job.type)
        return self.task_result.task

    @property
    def task_result(self):
        return TASKS["default"].result_of(self.job)

    @property
    def worker_ids(self):
        return self.task_result.worker_ids

    @property
    def traceback(self):
        return self.task_result.errors[-1].traceback
