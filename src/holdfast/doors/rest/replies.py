"""From engine values to JSON: how a job is shown."""

import base64
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast import trace_context
from holdfast.doors.rest.answers import (
    BetweenOut,
    BulkOut,
    CopyOut,
    CountsOut,
    DurabilityOut,
    EnqueuedOut,
    ErrorOut,
    ExtendedOut,
    JobOut,
    LeaseOut,
    OutcomeOut,
    PutOut,
    QueueOut,
    RaisedOut,
    ReceiptsOut,
    SettingsOut,
)
from holdfast.doors.rest.budget_answers import WaitOut
from holdfast.doors.rest.budget_types import ChargeIn
from holdfast.doors.rest.job_fields import ClosesOut
from holdfast.job.job import NO_EXTRAS, READY, SCHEDULED, WAITING, Content, Extras, Job, JobError, Receipt, State
from holdfast.job.meta import NAME, traceparent_in
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.limits import INSTANT_MAX
from holdfast.messages.answers import Changed, Enqueued, Extended, GrantedJob, Outcome
from holdfast.messages.views import Durability, JobDetail, JobFacts, QueueInfo, ReceiptList

_STATE = {state: state.value for state in State}  # on Python 3.11 `.value` costs more than the whole look-up
_encoder = msgspec.json.Encoder()
encode = _encoder.encode

NOT_KEPT = DurabilityOut("none")


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


@lru_cache(maxsize=1_024)
def instant(ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC. Jobs of one commit share theirs."""
    if not 0 <= ms <= INSTANT_MAX:
        ms = min(max(ms, 0), INSTANT_MAX)  # no request can have set it: a damaged row
    return f"{_second(ms // 1000)}{ms % 1000:03d}Z"


def durability_out(durability: Durability) -> DurabilityOut:
    """How jobs are stored."""
    return DurabilityOut(durability.level, durability.replicas)


def kept_as(enqueued: Enqueued, durability: DurabilityOut) -> DurabilityOut:
    """How these jobs are stored; none if all of them have been removed since the request was first answered."""
    return NOT_KEPT if enqueued.gone and len(enqueued.gone) == len(enqueued.jobs) else durability


def copies_out(enqueued: Enqueued) -> list[CopyOut]:
    """The copies of an event."""
    return [CopyOut(receipt.queue, receipt.id, _is_gone(receipt, enqueued)) for receipt in enqueued.jobs]


def _is_gone(receipt: Receipt, enqueued: Enqueued) -> bool | UnsetType:
    return True if enqueued.gone and receipt.id in enqueued.gone else UNSET


def receipt_out(receipt: Receipt, gone: bool | UnsetType = UNSET) -> PutOut:
    """One job of several."""
    return PutOut(
        id=receipt.id,
        queue=receipt.queue,
        state=_STATE[receipt.state],
        priority=receipt.priority,
        max_attempts=receipt.max_attempts,
        created_at=instant(receipt.created_at),
        ready_at=instant(receipt.ready_at),
        gone=gone,
    )


def receipts_found(found: ReceiptList) -> ReceiptsOut:
    """Jobs that were enqueued before."""
    return ReceiptsOut([receipt_out(each, True if each.id in found.gone else UNSET) for each in found.receipts])


def enqueued_out(enqueued: Enqueued, durability: DurabilityOut) -> EnqueuedOut:
    """The answer to one enqueue."""
    receipt = enqueued.jobs[0]
    return EnqueuedOut(
        id=receipt.id,
        queue=receipt.queue,
        state=_STATE[receipt.state],
        priority=receipt.priority,
        max_attempts=receipt.max_attempts,
        created_at=instant(receipt.created_at),
        ready_at=instant(receipt.ready_at),
        gone=True if enqueued.gone else UNSET,
        durability=kept_as(enqueued, durability),
        duplicate=True if enqueued.duplicate or enqueued.existing else UNSET,
    )


def receipts_out(enqueued: Enqueued) -> list[PutOut]:
    """The jobs of a bulk enqueue."""
    shown = [receipt_out(receipt, _is_gone(receipt, enqueued)) for receipt in enqueued.jobs]
    for place in enqueued.existing:
        shown[place].duplicate = True
    return shown


def bulk_out(enqueued: Enqueued, durability: DurabilityOut) -> BulkOut:
    """The answer to a bulk enqueue."""
    return BulkOut(
        jobs=receipts_out(enqueued), durability=kept_as(enqueued, durability), duplicate=True if enqueued.duplicate else UNSET
    )


def outcome_out(outcome: Outcome) -> OutcomeOut:
    """How an attempt ended."""
    shown = OutcomeOut(id=outcome.id, state=_STATE[outcome.state])
    if outcome.state is READY or outcome.state is SCHEDULED:
        shown.ready_at = instant(outcome.ready_at)
    if outcome.then:
        shown.then = [receipt_out(receipt) for receipt in outcome.then]
    return shown


def extended_out(extended: Extended, draining: bool) -> ExtendedOut:
    """How long the lease lasts."""
    return ExtendedOut(extended.ms_left, extended.cancel_requested, draining)


def job_out(job: Job, now: int) -> JobOut:
    """A job without its payload; the lease's token is never in it."""
    shown = JobOut(
        id=job.id,
        queue=job.queue,
        type="",
        state=_STATE[job.state],
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        failures=job.failures,
        crashes=job.crashes,
        created_at=instant(job.created_at),
        ready_at=instant(job.ready_at),
        payload_bytes=job.size,
    )
    if job.extras is not NO_EXTRAS:
        _with_extras(shown, job.extras)
    if job.leased_at and job.state not in WAITING:  # of a job that waits again, the last lease is history
        shown.leased_at = instant(job.leased_at)
    if job.lease is not None:
        shown.worker = job.lease.worker
        shown.lease_ms_left = max(0, job.lease.until - now)
        if job.lease.cancel_requested:
            shown.cancel_requested = True
    if job.ended_by is not None:
        shown.worker = job.ended_by.worker
    if job.ended_at is not None:
        shown.ended_at = instant(job.ended_at)
    if job.reason is not None:
        shown.reason = job.reason
    return shown


def _with_extras(shown: JobOut, extras: Extras) -> None:
    shown.tags = extras.tags
    if extras.meta:
        shown.meta = dict(extras.meta)
    if extras.budgets:
        shown.budgets = [ChargeIn(name=one.name, key=one.key, cost=one.cost) for one in extras.budgets]
    _with_keys(shown, extras)
    if extras.worker is not None:
        shown.only_worker = extras.worker
    if extras.follows is not None:
        shown.follows = extras.follows
    if extras.expires_at is not None:
        shown.expires_at = instant(extras.expires_at)
    if extras.batch is not None:
        shown.batch = extras.batch
    if (closes := extras.closes) is not None:
        shown.closes = ClosesOut(
            batch=closes.batch,
            on=closes.on.value,
            name=closes.name,
            pending=closes.pending,
            concluded=closes.concluded,
            dead=closes.dead,
            cancelled=closes.cancelled,
            total=closes.total,
        )


def _with_keys(shown: JobOut, extras: Extras) -> None:
    if extras.fair_key is not None or extras.fair_cost != 1:
        shown.fair_key, shown.fair_cost = UNSET if extras.fair_key is None else extras.fair_key, extras.fair_cost
    if extras.unique_key is not None:
        shown.unique_key, shown.unique_while = extras.unique_key, extras.unique_while
    if extras.group_key is not None:
        shown.group_key, shown.group_limit = extras.group_key, extras.group_limit


def with_content(shown: JobOut, content: Content) -> JobOut:
    """Add type and payload: JSON as received, anything else as base64."""
    shown.type = content.type
    if content.content_type is None:
        shown.payload = Raw(content.payload)
    else:
        shown.payload_base64 = base64.b64encode(content.payload).decode()
        shown.content_type = content.content_type
    return shown


def content_out(given: JobDetail | Changed) -> JobOut:
    """A job with its payload, or with a note that it was left out."""
    shown = with_content(job_out(given.job, given.now), given.content)
    if given.payload_hidden:
        shown.payload, shown.payload_hidden = UNSET, True
    return shown


def granted_out(granted: GrantedJob, now: int) -> JobOut:
    """A leased job for its holder."""
    job = granted.job
    assert job.lease is not None, "a granted job is leased"
    shown = with_content(job_out(job, now), granted.content)
    left = job.lease.until - now
    shown.lease = LeaseOut(job.ref().token(), job.lease.worker, max(0, left))
    shown.worker = shown.lease_ms_left = UNSET
    if granted.progress is not None:
        shown.progress = Raw(granted.progress)
    if trace_context.leased is not None and shown.meta is not UNSET:
        traceparent = traceparent_in(job.extras.meta)
        if traceparent is not None:
            shown.meta[NAME] = trace_context.leased(job, traceparent)
    return shown


def detail_out(detail: JobDetail) -> JobOut:
    """A job with everything stored about it."""
    shown = content_out(detail)
    if detail.progress is not None:
        shown.progress = Raw(detail.progress)
    if detail.result is not None:
        shown.result = Raw(detail.result)
    if detail.then:
        shown.then = [receipt_out(receipt) for receipt in detail.then]
    shown.errors = errors_out(detail)
    return shown


def errors_out(detail: JobDetail) -> list[ErrorOut]:
    """The errors that it has with it."""
    return [_error_out(error) for error in detail.errors]


def _error_out(error: JobError) -> ErrorOut:
    raised = error.raised
    told = UNSET if raised is None else RaisedOut(raised.kind, raised.message, raised.traceback, raised.place)
    began = UNSET if error.leased_at is None else instant(error.leased_at)
    return ErrorOut(error.attempt, instant(error.at), error.worker, error.kind, error.reason, began, told)


def counts_out(tally: Tally) -> CountsOut:
    """Jobs by state."""
    return CountsOut(tally.scheduled, tally.ready, tally.leased, tally.concluded, tally.dead, tally.cancelled)


def settings_out(policy: QueuePolicy) -> SettingsOut:
    """The settings in force."""
    shown = SettingsOut(**{name: getattr(policy, name) for name in SettingsOut.__struct_fields__})
    if not policy.budgets:
        shown.budgets = UNSET
    if not policy.fair:
        shown.fair = UNSET
    return shown


def queue_out(info: QueueInfo) -> QueueOut:
    """A queue."""
    return QueueOut(
        name=info.name,
        paused=info.paused,
        created_at=instant(info.created_at),
        jobs=counts_out(info.tally),
        bytes=info.tally.bytes,
        history_bytes=info.tally.history_bytes,
        settings=settings_out(info.policy),
        set=[name for name in QueueSettings.__struct_fields__ if getattr(info.settings, name) is not UNSET],
        paused_types=info.paused_types,
    )


def between_out(facts: JobFacts) -> list[BetweenOut]:
    """What happened between a job's attempts."""
    return [
        BetweenOut(
            one.what,
            one.of,
            None if one.began_at is None else instant(one.began_at),
            None if one.ended_at is None else instant(one.ended_at),
            one.attempt,
        )
        for one in facts.between
    ]


def waits_out(facts: JobFacts) -> list[WaitOut]:
    """The accounts that a ready job names."""
    return [
        WaitOut(
            budget="" if wait.budget is None else wait.budget.name,
            key=wait.account.key,
            cost=wait.cost,
            left=wait.account.left,
            in_its_line=wait.budget is not None and facts.job.waits == f"{wait.budget.name}/{wait.account.key}",
            ahead=wait.ahead,
            blocked_until=instant(wait.account.blocked_until) if wait.account.blocked_until else None,
            earliest=None if wait.account.earliest is None else instant(wait.account.earliest),
        )
        for wait in facts.waits
    ]
