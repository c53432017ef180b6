"""From an answer to an exception: a problem document becomes the class that has its code, with the document's fields as attributes.

holdfast.errors            what the server says: one class for each code
Unreachable                nobody could be asked: nothing was done
UnexpectedAnswer           an answer that is not Holdfast's, such as a proxy's page
NotConcluded               `result()` of a job that ended in another way
"""

from typing import Any

import msgspec

from holdfast.client.types import Job
from holdfast.errors import BY_CODE, HoldfastError

_ERROR_CHARS = 500  # of a job's last error, in a message


class Unreachable(HoldfastError):
    """No server was reached within the deadline. Nothing was done."""

    code = "unreachable"
    title = "No server can be reached"


class UnexpectedAnswer(HoldfastError):
    """Something other than a Holdfast server answered; `status` is its HTTP status."""

    code = "unexpected_answer"
    title = "The answer is not Holdfast's"


class NotConcluded(HoldfastError):
    """The job is dead or cancelled; `job` is the job."""

    code = "not_concluded"
    title = "The job was not concluded"

    def __init__(self, job: Job) -> None:
        last = job.last_error[:_ERROR_CHARS]
        said = f"Job {job.id} is {job.state}: {job.reason or 'no reason is given'}."
        super().__init__(f"{said} Its last error: {last}" if last else said, job=job)


def problem(body: bytes) -> dict[str, Any] | None:
    """The problem document of an answer; None when it is not one of ours."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("code"), str) else None


def refusal(said: dict[str, Any], request_id: str = "") -> HoldfastError:
    """A problem document as an exception. An unknown code is a plain `HoldfastError` with that `code`."""
    known = ("type", "title", "status", "detail", "code")
    fields = {name: value for name, value in said.items() if name not in known}
    kind = BY_CODE.get(said["code"])
    error = HoldfastError.__new__(kind or HoldfastError)
    HoldfastError.__init__(error, str(said.get("detail", "")), **fields)
    if kind is None:
        error.__dict__["code"] = said["code"]
    error.status = said.get("status")
    error.request_id = request_id
    return error
