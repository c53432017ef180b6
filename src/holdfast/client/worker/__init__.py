"""The runtime of workers, on top of `AsyncClient`.

Worker (worker.py)      what to run: handlers, queues, bounds; `run()`
  Session (session.py)  one run: takes jobs while there is room, runs them, winds down
    JobSource (job_source.py)            how jobs come and leases end: long polls, and before them a live channel (websocket_source.py)
    LeaseExtender (lease_extender.py)    a thread with a connection of its own that keeps the leases
    Conclusions (conclusions.py)         concludes, failures and releases, gathered into batches
    Runner (runner.py)                   calls a handler: a coroutine, threads.py, processes.py
    connectivity.py                      what stands in the log
"""

from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.outcomes import BackOff, DoNotRetry, Failed, GiveBack, RetryIn
from holdfast.client.worker.worker import Worker

__all__ = ["BackOff", "DoNotRetry", "Failed", "GiveBack", "HeldJob", "RetryIn", "Worker"]
