"""Holdfast: a work queue server that never lets go of a job.

The client and the worker are exported here, and imported on first use: a server needs neither.
"""

TYPE_CHECKING = (
    False  # as type checkers take it: nothing is imported here that may lie in the working directory of `python -m holdfast`
)
if TYPE_CHECKING:
    from typing import Any

    from holdfast.client import AsyncClient, Client, NewJob
    from holdfast.client.embedded import embedded
    from holdfast.client.worker import BackOff, DoNotRetry, GiveBack, HeldJob, RetryIn, Worker

__version__ = "0.2.0.dev0"
__all__ = ["AsyncClient", "BackOff", "Client", "DoNotRetry", "GiveBack", "HeldJob", "NewJob", "RetryIn", "Worker", "embedded"]

_HOMES = {
    "AsyncClient": "holdfast.client",
    "Client": "holdfast.client",
    "NewJob": "holdfast.client",
    "BackOff": "holdfast.client.worker",
    "DoNotRetry": "holdfast.client.worker",
    "GiveBack": "holdfast.client.worker",
    "HeldJob": "holdfast.client.worker",
    "RetryIn": "holdfast.client.worker",
    "Worker": "holdfast.client.worker",
    "embedded": "holdfast.client.embedded",
}


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    import importlib  # noqa: PLC0415  (only where the client is used)

    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name in ("aiohttp", "httptools", "tenacity"):
            raise ImportError(
                f"holdfast.{name} needs {error.name}, which comes with an installation of holdfast", name=name
            ) from error
        raise
