"""Families of metrics of what not every server uses: scheduled backups, batches of jobs, the inbox of a database."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from holdfast.messages.inbox import InboxState
from holdfast.messages.views import BackupState, QueueStats, SilentWorker, StoreStats


def seldom_families(store: StoreStats) -> Iterator[Metric]:
    """All of them."""
    yield from _batch_families(store.job_batches, store.oldest_batch_ms)
    yield from _operation_families(store.operations)
    yield from _backup_families(store.backups)
    yield from _inbox_families(store.inbox, store.taken_in)


def _operation_families(counts: Mapping[str, int]) -> Iterator[Metric]:
    """The metrics of bulk operations: how many there are, and whether they get on."""
    operations = GaugeMetricFamily("holdfast_operations", "Operations that have not ended.", labels=["state"])
    for state in ("paused", "running"):
        if state in counts:
            operations.add_metric([state], counts[state])
    yield operations
    yield CounterMetricFamily(
        "holdfast_operation_jobs", "Jobs that operations have looked at since the start.", value=counts.get("jobs", 0)
    )


def _batch_families(counts: Mapping[str, int], oldest_ms: int) -> Iterator[Metric]:
    """The metrics of batches of jobs."""
    batches = CounterMetricFamily(
        "holdfast_batches", "Batches of jobs that were made and that finished, since the start.", labels=["what"]
    )
    for what in ("made", "finished"):
        batches.add_metric([what], counts.get(what, 0))
    yield batches
    yield CounterMetricFamily(
        "holdfast_closing_jobs", "Closing jobs of batches that were enqueued.", value=counts.get("put", 0)
    )
    yield GaugeMetricFamily(
        "holdfast_closing_jobs_owed",
        "1 while closing jobs are due and can't be enqueued, such as into a full queue.",
        value=counts.get("owed", 0),
    )
    yield GaugeMetricFamily(
        "holdfast_oldest_batch_seconds", "How old the oldest unfinished batch is; 0 without one.", value=oldest_ms / 1000
    )


def silent_families(workers: Iterable[SilentWorker]) -> Iterator[Metric]:
    """Workers that hold jobs and send no heartbeats; never one by worker."""
    workers = list(workers)
    yield GaugeMetricFamily(
        "holdfast_silent_workers", "Registered workers that hold jobs and send no heartbeats.", value=len(workers)
    )
    yield GaugeMetricFamily("holdfast_silent_worker_jobs", "Jobs that they hold.", value=sum(worker.jobs for worker in workers))


def fair_families(queues: Iterable[QueueStats]) -> Iterator[Metric]:
    """How many keys share each fair queue; never one by key."""
    keys = GaugeMetricFamily(
        "holdfast_queue_fair_keys", "Fair keys with jobs that wait, of queues that are fair.", labels=["queue"]
    )
    for queue in queues:
        if queue.fair_keys is not None:
            keys.add_metric([queue.info.name], queue.fair_keys)
    yield keys


def _backup_families(backups: BackupState | None) -> Iterator[Metric]:
    """Without samples where no backups are scheduled: an alert on their age would go off."""
    seen = backups or BackupState(0)
    for name, about, value in (
        ("interval_seconds", "How often a backup is scheduled (backup_every).", seen.every_ms / 1000),
        ("last_success_timestamp_seconds", "When the newest backup was begun; 0 without any.", seen.last_at / 1000),
        ("duration_seconds", "How long the last backup took.", seen.seconds),
        ("size_bytes", "Size of the newest backup.", seen.bytes),
        ("kept", "How many backups there are.", seen.kept),
    ):
        gauge = GaugeMetricFamily(f"holdfast_backup_{name}", about, labels=[])
        if backups is not None:
            gauge.add_metric([], value)
        yield gauge
    failures = CounterMetricFamily("holdfast_backup_failures", "Scheduled backups that failed.", labels=[])
    if backups is not None:
        failures.add_metric([], seen.failures)
    yield failures


def _inbox_families(seen: InboxState | None, taken_in: Mapping[str, int]) -> Iterator[Metric]:
    """Without samples where the store has no inbox."""
    now = seen or InboxState()
    for name, about, value in (
        ("jobs", "Jobs that applications enqueued by SQL and no node has taken in yet.", now.rows),
        ("bytes", "Size of their payloads and options.", now.bytes),
        ("oldest_seconds", "How long the first of them has waited.", now.oldest_ms / 1000),
    ):
        gauge = GaugeMetricFamily(f"holdfast_inbox_{name}", about, labels=[])
        if seen is not None:
            gauge.add_metric([], value)
        yield gauge
    taken = CounterMetricFamily(
        "holdfast_taken_in", "Jobs that this node took in, by what became of them; a refused one is dead.", labels=["outcome"]
    )
    if seen is not None:
        for outcome, count in taken_in.items():
            taken.add_metric([outcome], count)
    yield taken
