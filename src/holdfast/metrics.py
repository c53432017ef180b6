"""The Prometheus metrics at /metrics: what this front answered, and the contents and counters of the store.

Labels are bounded: routes are templates, and past a number of queues the rest is summed under `queue="_other"`. With several
fronts each sends its numbers to the keeper once a second, so that any front answers for all.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, chain
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily

from holdfast import __version__, busy
from holdfast.budget import Budget
from holdfast.budget_metrics import budget_families
from holdfast.connection_limit import ConnectionLimit
from holdfast.engine.engine import Engine
from holdfast.limits import METRIC_QUEUES
from holdfast.messages.buckets import BATCH_BUCKETS, COMMIT_BUCKETS
from holdfast.messages.views import QueueStats, Replication, Stats, StoreStats
from holdfast.metric_families import fair_families, seldom_families, silent_families
from holdfast.tls import Certificate

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STATES = ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")
OTHER = "_other"
_Samples = tuple[str, tuple[list[tuple[str, float]], ...]]
_QUEUE_FAMILIES = (
    ("holdfast_jobs", "gauge", "Jobs by queue and state."),
    ("holdfast_queue_bytes", "gauge", "Payload of unfinished jobs."),
    ("holdfast_queue_history_bytes", "gauge", "Payloads and results of concluded and cancelled jobs."),
    ("holdfast_queue_capacity_jobs", "gauge", "How many unfinished jobs fit."),
    ("holdfast_oldest_ready_seconds", "gauge", "How long the job that is next in line has been ready; 0 without one."),
    ("holdfast_queue_paused", "gauge", "1 while the queue is paused."),
    ("holdfast_queue_paused_types", "gauge", "Types of jobs of the queue that are paused."),
    ("holdfast_job_events_total", "counter", "Committed changes by queue and verb."),
)


class TubeNumbers(Protocol):
    """What the beanstalkd protocol's door counts."""

    commands: dict[str, int]
    roles: dict[str, int]
    connections: int
    connected: int
    turned_away: int


class ChannelNumbers(Protocol):
    """The counters of the live channel's door."""

    messages: dict[str, int]
    open: int
    held: int


class FrontMetrics:
    """Counts what one front process does."""

    def __init__(self, engine: Engine, front: int) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._engine = engine
        self._answered = _Answered(str(front))
        self._registry.register(self._answered)
        self.observe = self._answered.observe
        self._parked = Gauge(
            "holdfast_waiters", "Long polls: for a job, for room, or for a job to end.", ("front",), registry=self._registry
        )
        self._flight = Gauge(
            "holdfast_in_flight_commands", "Commands on their way to the store.", ("front",), registry=self._registry
        )
        self._streams = Gauge("holdfast_event_streams", "Open event streams.", ("front",), registry=self._registry)
        self._unwaited = Counter(
            "holdfast_unwaited_events",
            "Events answered before their commit, by outcome.",
            ("front", "outcome"),
            registry=self._registry,
        )
        self._keys = Gauge("holdfast_access_keys", "Access keys that are known here.", ("front",), registry=self._registry)
        self._failed_logins = Counter(
            "holdfast_failed_logins",
            "Requests with a wrong access key, by why: unknown, expired, or too often from one address.",
            ("front", "reason"),
            registry=self._registry,
        )
        self._loop_busy = Gauge(
            "holdfast_loop_busy_seconds_max",
            "The longest that one turn of the event loop used the processor in the last minute or two.",
            ("front",),
            registry=self._registry,
        )
        self._front = str(front)
        self._number = front
        self.tubes: TubeNumbers | None = None
        self.channels: ChannelNumbers | None = None
        self.connections: ConnectionLimit | None = None
        self.certificate: Certificate | None = None
        self.spans: Callable[[], dict[str, int]] | None = None
        self.handshakes_failed: list[tuple[str, dict[str, int]]] = []  # by door
        self._counted: dict[str, int] = {}

    def text(self) -> bytes:
        """This front's metrics in the text format."""
        engine = self._engine
        self._parked.labels(self._front).set(engine.arrivals.parked + engine.room.parked + engine.hub.watchers)
        self._flight.labels(self._front).set(self._engine.in_flight)
        self._streams.labels(self._front).set(engine.hub.streams + engine.change_signal.listeners)
        self._loop_busy.labels(self._front).set(busy.LOOP.longest.seconds)
        for outcome, count in (("kept", engine.unwaited.kept), ("lost", engine.unwaited.lost)):
            self._unwaited.labels(self._front, outcome).inc(count - self._counted.get(outcome, 0))
            self._counted[outcome] = count
        self._keys.labels(self._front).set(len(engine.keyring))
        for reason, count in engine.keyring.failures.items():
            counted = f"login {reason}"
            self._failed_logins.labels(self._front, reason).inc(count - self._counted.get(counted, 0))
            self._counted[counted] = count
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once(_budget_families(engine.budget, self._front)))
        if self.tubes is not None:
            registry.register(_Once(_tube_families(self.tubes, self._front)))
        if self.channels is not None:
            registry.register(_Once(_channel_families(self.channels, self._front)))
        if self.connections is not None:
            registry.register(_Once(_connection_families(self.connections, self._front)))
        if self.spans is not None:
            registry.register(_Once(span_families(self.spans(), self._front)))
        if self.certificate is not None:
            one = self.certificate
            registry.register(_Once(tls_families(self._front, one.expires_at, one.reloads, self.handshakes_failed)))
        return generate_latest(self._registry) + generate_latest(registry)

    async def page(self) -> bytes:
        """The metrics of the whole server."""
        return exposition(await self._engine.reading.stats_of_busiest(METRIC_QUEUES + 1), self._number, self.text())


class _Answered:
    """Requests counted in plain dicts, converted when Prometheus scrapes: a tenth of the cost of its own counters, which each
    request pays.
    """

    def __init__(self, front: str) -> None:
        self._front = front
        self._counts: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, list[float]] = {}  # by route: requests in each bucket, and last the sum

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = (method, route, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        buckets = self._seconds.get(route)
        if buckets is None:
            buckets = self._seconds[route] = [0.0] * (len(_SECONDS) + 2)
        buckets[bisect_left(_SECONDS, seconds)] += 1
        buckets[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """Both families with their current values."""
        requests = CounterMetricFamily(
            "holdfast_http_requests", "HTTP requests answered.", labels=["front", "method", "route", "status"]
        )
        for (method, route, status), count in self._counts.items():
            requests.add_metric([self._front, method, route, str(status)], count)
        yield requests
        times = HistogramMetricFamily(
            "holdfast_http_request_seconds", "Time to answer, waiting included.", labels=["front", "route"]
        )
        for route, buckets in self._seconds.items():
            sums = list(accumulate(buckets[:-1]))
            names = [*(str(float(bound)) for bound in _SECONDS), "+Inf"]
            times.add_metric([self._front, route], list(zip(names, sums, strict=True)), buckets[-1])
        yield times


class _Once:
    """A collector of metrics that were made beforehand."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        """Give them all."""
        yield from self._metrics


def exposition(stats: Stats, own_front: int, own: bytes) -> bytes:
    """The whole page: the store's metrics, this front's, and what the other fronts last reported."""
    registry = CollectorRegistry(auto_describe=False)
    parts = (_families(stats), budget_families(stats.budgets), fair_families(stats.queues), silent_families(stats.silent))
    registry.register(_Once(chain(*parts)))
    others = [text for front, text in sorted(stats.reports.items()) if front != own_front]
    return _queue_text(stats) + generate_latest(registry) + _merged([own, *others])


def _merged(texts: list[bytes]) -> bytes:
    """The same families from several fronts as one text: each family's head once, then everyone's samples."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for text in texts:
        name = ""
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                families.setdefault(name, ([], []))
            head, samples = families.setdefault(name, ([], []))
            if not line.startswith("#"):
                samples.append(line)
            elif line not in head:
                head.append(line)
    return "".join(f"{line}\n" for head, samples in families.values() for line in (*head, *samples)).encode()


def _budget_families(budget: Budget, front: str) -> Iterator[Metric]:
    for name, about, value in (
        ("budget", "What this front may hold for others (memory_budget).", budget.capacity),
        ("held", "What it holds: bodies on their way, jobs that wait for room, answers that are not read.", budget.held),
        ("held_peak", "The most that it has held.", budget.peak),
        ("parked", "Of what it holds, jobs that wait for room in a full queue.", budget.parked),
    ):
        gauge = GaugeMetricFamily(f"holdfast_memory_{name}_bytes", about, labels=["front"])
        gauge.add_metric([front], value)
        yield gauge
    for name, about, count in (
        ("refused", "What was refused because this front holds too much for others.", budget.refused),
        ("hung_up", "Connections that were hung up on for that: those that had not moved for the longest.", budget.hung_up),
    ):
        counter = CounterMetricFamily(f"holdfast_memory_{name}", about, labels=["front"])
        counter.add_metric([front], count)
        yield counter


def _channel_families(numbers: ChannelNumbers, front: str) -> Iterator[Metric]:
    channels = GaugeMetricFamily("holdfast_channels", "Open live channels.", labels=["front"])
    channels.add_metric([front], numbers.open)
    held = GaugeMetricFamily("holdfast_channel_jobs", "Jobs that are unfinished on live channels.", labels=["front"])
    held.add_metric([front], numbers.held)
    messages = CounterMetricFamily(
        "holdfast_channel_messages", "Messages that came on live channels, by op.", labels=["front", "op"]
    )
    for kind, count in numbers.messages.items():
        messages.add_metric([front, kind], count)
    yield from (channels, held, messages)


def _connection_families(limit: ConnectionLimit, front: str) -> Iterator[Metric]:
    connections = GaugeMetricFamily("holdfast_connections", "Open connections of clients.", labels=["front"])
    connections.add_metric([front], limit.open)
    most = GaugeMetricFamily("holdfast_connections_max", "How many there may be (max_connections).", labels=["front"])
    most.add_metric([front], limit.most)
    refused = CounterMetricFamily(
        "holdfast_connections_refused",
        "Connections refused, by the bound: in total, or of one address.",
        labels=["front", "bound"],
    )
    for bound in ("total", "address"):
        refused.add_metric([front, bound], limit.refused.get(bound, 0))
    yield from (connections, most, refused)


def tls_families(
    front: str, expires_at: float, counted: Mapping[str, int], failed: list[tuple[str, dict[str, int]]]
) -> Iterator[Metric]:
    """What a front over TLS tells: when its certificate ends, reloads by outcome, and failed handshakes by door and reason."""
    expires = GaugeMetricFamily(
        "holdfast_tls_certificate_expiration_timestamp_seconds",
        "When the TLS certificate expires, in seconds since 1970.",
        labels=["front"],
    )
    expires.add_metric([front], expires_at)
    reloads = CounterMetricFamily(
        "holdfast_tls_reloads", "Reloads of the TLS certificate, by outcome.", labels=["front", "outcome"]
    )
    for outcome in ("loaded", "failed"):
        reloads.add_metric([front, outcome], counted.get(outcome, 0))
    handshakes = CounterMetricFamily(
        "holdfast_tls_handshakes_failed", "TLS handshakes that failed, by reason.", labels=["front", "door", "reason"]
    )
    for door, reasons in failed:
        for reason, count in reasons.items():
            handshakes.add_metric([front, door, reason], count)
    yield from (expires, reloads, handshakes)


def span_families(counts: dict[str, int], front: str) -> Iterator[Metric]:
    """What became of the spans of traces."""
    spans = CounterMetricFamily(
        "holdfast_trace_spans", "Ended spans of traces, by outcome: exported, failed or dropped.", labels=["front", "outcome"]
    )
    for outcome, count in counts.items():
        spans.add_metric([front, outcome], count)
    yield spans


def _tube_families(numbers: TubeNumbers, front: str) -> Iterator[Metric]:
    commands = CounterMetricFamily(
        "holdfast_beanstalk_commands", "Commands of the beanstalkd protocol.", labels=["front", "command"]
    )
    for verb, count in numbers.commands.items():
        commands.add_metric([front, verb], count)
    clients = GaugeMetricFamily(
        "holdfast_beanstalk_clients", "Connections that have put or reserved, and that wait.", labels=["front", "role"]
    )
    for role, count in numbers.roles.items():
        clients.add_metric([front, role], count)
    connected = GaugeMetricFamily("holdfast_beanstalk_connected", "Open connections.", labels=["front"])
    connected.add_metric([front], numbers.connected)
    connections = CounterMetricFamily("holdfast_beanstalk_connections", "Connections taken in.", labels=["front"])
    connections.add_metric([front], numbers.connections)
    away = CounterMetricFamily("holdfast_beanstalk_turned_away", "Connections past the bound.", labels=["front"])
    away.add_metric([front], numbers.turned_away)
    yield from (commands, clients, connected, connections, away)


def _families(stats: Stats) -> Iterator[Metric]:
    info = GaugeMetricFamily("holdfast_info", "The running version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    yield GaugeMetricFamily("holdfast_queues", "Queues, those without a label of their own among them.", value=stats.all)
    yield GaugeMetricFamily(
        "holdfast_queues_in_other", 'Queues that are summed under queue="_other".', value=max(0, stats.all - METRIC_QUEUES)
    )
    yield from _store_families(stats.store)


def _queue_text(stats: Stats) -> bytes:
    """The families with `queue`, formatted here: Prometheus' own objects would take several times as long."""
    shown = [queue for queue in stats.queues if queue.info.name != OTHER][:METRIC_QUEUES]  # no label appears twice
    samples = [_of_queue(queue) for queue in shown]
    if stats.all > len(shown):
        samples.append(_of_rest(stats, shown))
    parts = []
    for place, (name, kind, about) in enumerate(_QUEUE_FAMILIES):
        parts.append(f"# HELP {name} {about}\n# TYPE {name} {kind}\n")
        for queue, families in samples:
            parts += [f'{name}{{queue="{queue}"{label}}} {float(value)}\n' for label, value in families[place]]
    return "".join(parts).encode()


def _of_queue(queue: QueueStats) -> _Samples:
    """Samples of one queue by family, in the order of `_QUEUE_FAMILIES`. Its name has no sign that would have to be escaped."""
    info, tally = queue.info, queue.info.tally
    return info.name, (
        [(f',state="{state}"', getattr(tally, state)) for state in _STATES],
        [("", tally.bytes)],
        [("", tally.history_bytes)],
        [("", info.policy.capacity_jobs)],
        [("", (queue.oldest_ready_ms or 0) / 1000)],
        [("", info.paused)],
        [("", len(info.paused_types))],
        [(f',event="{verb}"', count) for verb, count in queue.totals.items()],
    )


def _of_rest(stats: Stats, shown: list[QueueStats]) -> _Samples:
    """The sum of the queues that have no label of their own, if a sum makes sense."""
    own = {queue.info.name for queue in shown}
    ages = [queue.oldest_ready_ms or 0 for queue in stats.queues if queue.info.name not in own]

    def rest(name: str) -> int:
        return int(getattr(stats.tally, name) - sum([getattr(queue.info.tally, name) for queue in shown]))

    return OTHER, (
        [(f',state="{state}"', rest(state)) for state in _STATES],
        [("", rest("bytes"))],
        [("", rest("history_bytes"))],
        [],
        [("", max([stats.oldest_left_out_ms or 0, *ages]) / 1000)],
        [],
        [],
        [
            (f',event="{verb}"', max(0, count - sum([queue.totals[verb] for queue in shown])))
            for verb, count in stats.totals.items()
        ],
    )


def _counts(family: GaugeMetricFamily | CounterMetricFamily, counts: dict[str, int]) -> Metric:
    for label, count in sorted(counts.items()):
        family.add_metric([label], count)
    return family


def _store_families(store: StoreStats) -> Iterator[Metric]:
    yield CounterMetricFamily("holdfast_commands", "Commands committed.", value=store.commands)
    sizes = HistogramMetricFamily("holdfast_commit_batch_size", "Commands in one commit.")
    sizes.add_metric([], _cumulative(BATCH_BUCKETS, store.batch_buckets), store.commands)
    yield sizes
    seconds = HistogramMetricFamily("holdfast_commit_seconds", "Time of one transaction, commit included.")
    seconds.add_metric([], _cumulative(COMMIT_BUCKETS, store.commit_buckets), store.commit_seconds)
    yield seconds
    yield GaugeMetricFamily(
        "holdfast_commit_busy_seconds_max",
        "The longest that one transaction used the processor in the last minute or two.",
        value=store.commit_busy_seconds,
    )
    yield GaugeMetricFamily(
        "holdfast_store_loop_busy_seconds_max",
        "The same of a turn of the event loop beside the store.",
        value=store.loop_busy_seconds,
    )
    yield GaugeMetricFamily("holdfast_store_file_bytes", "Size of the store.", value=store.file_bytes)
    yield GaugeMetricFamily("holdfast_store_wal_bytes", "Size of the write-ahead log.", value=store.wal_bytes)
    yield GaugeMetricFamily("holdfast_disk_free_bytes", "Free space beside the store.", value=store.disk_free_bytes)
    yield GaugeMetricFamily("holdfast_store_accepting", "0 while nothing new is taken.", value=float(store.accepting))
    yield GaugeMetricFamily(
        "holdfast_clock_behind_seconds",
        "How far the clock was set back; time stands still until it has caught up.",
        value=store.clock_behind_ms / 1000,
    )
    yield CounterMetricFamily(
        "holdfast_clock_steps", "How often the clock was set by a second or more.", value=store.clock_steps
    )
    aside = GaugeMetricFamily(
        "holdfast_set_aside", "Due jobs and schedules that fail and are set aside; others are not affected.", labels=["what"]
    )
    aside.add_metric(["schedule"], store.schedules_aside)
    aside.add_metric(["job"], store.jobs_aside)
    aside.add_metric(["queue"], len(store.held_queues))
    yield aside
    sentence = "Rows that could not be read since the start, and were set aside."
    yield _counts(CounterMetricFamily("holdfast_unreadable_rows", sentence, labels=["table"]), store.unreadable)
    sentence = "Entries of the audit log since the start; unrecorded refusals were too many."
    entries = {outcome: store.audit.get(outcome, 0) for outcome in ("done", "refused", "unrecorded")}
    yield _counts(CounterMetricFamily("holdfast_audit_entries", sentence, labels=["outcome"]), entries)
    yield CounterMetricFamily(
        "holdfast_audit_removed",
        "Entries of the audit log that were too old, or too many.",
        value=store.audit.get("removed", 0),
    )
    yield from seldom_families(store)
    if store.replication is not None:
        yield from replication_families(store.replication)
    yield GaugeMetricFamily("holdfast_uptime_seconds", "Since the store was opened.", value=store.uptime_ms / 1000)


def replication_families(replication: Replication) -> Iterator[Metric]:
    """The metrics of the standbys, with PostgreSQL."""
    yield GaugeMetricFamily("holdfast_replicas_needed", "Standbys that must have flushed.", value=replication.needed)
    yield GaugeMetricFamily("holdfast_replicas_in_sync", "Standbys that are in sync.", value=replication.in_sync)
    yield GaugeMetricFamily(
        "holdfast_replication_lag_bytes", "How far the slowest of these is behind.", value=replication.lag_bytes
    )
    yield CounterMetricFamily(
        "holdfast_unknown_outcomes", "Batches whose commit could not be proven.", value=replication.unknown
    )
    proof = SummaryMetricFamily("holdfast_replication_proof_seconds", "Waits for the proof after a commit.")
    proof.add_metric([], replication.proofs, replication.proof_seconds)
    yield proof


def _cumulative(bounds: Iterable[float], counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
