"""A caller of CouchQueue's door, in the words of its text, and the way back to an empty server."""

import json
from typing import Any

import httpx

from tests.contract.doors.servers import ALL


class Caller:
    """Calls actions by their routes; what is not a text is sent as JSON."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def call(self, method: str, path: str, **parameters: Any) -> httpx.Response:
        """One call, its parameters in a JSON body."""
        return self.client.request(method, path, json=parameters)

    def done(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """The answer of a call that must succeed."""
        answer = self.call(method, path, **parameters)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert "error" not in body, body
        return body

    def refused(self, method: str, path: str, **parameters: Any) -> tuple[int, str]:
        """Status and sentence of a call that must be refused."""
        answer = self.call(method, path, **parameters)
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()["error"]

    def interest(self, queue: str, interests: Any = "*") -> None:
        """A queue wants this."""
        self.done("PUT", "/interest", queue=queue, interests=interests)

    def worker(self, *queues: str) -> str:
        """A new worker's id."""
        return str(self.done("PUT", "/worker", queues=",".join(queues))["workerId"])

    def create(self, data: Any, **more: Any) -> list[str]:
        """Publish a task; the queues that have it."""
        return list(self.done("PUT", "/task", publisher="test", data=data, **more)["interestedSubscriptions"])

    def take(self, worker: str) -> dict[str, Any] | None:
        """The next task of a worker."""
        answer = self.client.get("/task", params={"workerId": worker})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["task"] is None) == (body.get("error") == "no tasks found")
        return body["task"]

    def update(self, task: dict[str, Any], state: str, **more: Any) -> dict[str, Any]:
        """End a task as its worker."""
        return self.done("POST", "/task", workerId=task["workerId"], taskId=task["taskId"], state=state, **more)

    def status(self, **asked: Any) -> dict[str, Any]:
        """Parts of the status."""
        answer = self.client.get("/status", params=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["status"])


def clean(caller: Caller) -> None:
    """Leave no worker, no interest, no queue."""
    shown = caller.status()
    for worker in shown["workers"]:
        caller.done("DELETE", "/worker", workerId=worker)
    for task in shown["tasksInProgress"]:
        caller.update(task, "success")
    for queue in shown["queues"]:
        caller.client.post(f"/v1/queues/{queue}/purge", content=json.dumps({"states": ALL}))
        caller.done("DELETE", "/queue", queue=queue)
    assert caller.status() == {
        "queues": {},
        "workerQueue": {},
        "interests": {},
        "workers": {},
        "failedQueue": [],
        "tasksInProgress": [],
    }
