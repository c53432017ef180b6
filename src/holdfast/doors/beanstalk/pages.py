"""The statistics pages, in YAML: every field of beanstalkd 1.12, in its order. docs/beanstalkd.md says what each means here."""

import os
import platform
import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.doors.beanstalk.names import in_yaml, tube_of
from holdfast.doors.beanstalk.numbers import Numbers
from holdfast.job.job import DEAD, LEASED, READY, SCHEDULED, BeanstalkCounters
from holdfast.job.queue import Tally
from holdfast.limits import TUBE_NUMBER_MAX
from holdfast.messages.views import JobDetail, QueueInfo, Stats, TubeFacts

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.door import Beanstalk

_STATES = {READY: "ready", LEASED: "reserved", SCHEDULED: "delayed", DEAD: "buried"}
_BINLOG_MAX = 10_485_760  # beanstalkd's default: there is no binlog here
# The verbs that beanstalkd 1.12 counts, in its order; it leaves reserve-job, kick-job and quit out.
_COUNTED = (
    "put", "peek", "peek-ready", "peek-delayed", "peek-buried", "reserve", "reserve-with-timeout", "delete", "release", "use", "watch",
    "ignore", "bury", "kick", "touch", "stats", "stats-job", "stats-tube", "list-tubes", "list-tube-used", "list-tubes-watched",
    "pause-tube",
)  # fmt: skip


def page(values: Mapping[str, object]) -> str:
    """A page of names and values."""
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in values.items())


def holds(info: QueueInfo) -> bool:
    """Whether a queue has a job in the sense of beanstalkd: ended ones do not count."""
    return info.tally.unfinished + info.tally.dead > 0


def tube(info: QueueInfo) -> str | None:
    """The tube that a queue is, if it is one now."""
    return tube_of(info.name) if holds(info) else None


def of_job(detail: JobDetail, lease_ms: int) -> str:
    """stats-job."""
    job, now = detail.job, detail.now
    counters = job.extras.beanstalk or BeanstalkCounters()
    delay = counters.delay_s
    left = 0
    if job.lease is not None:
        left = job.lease.until - now - 1  # a fraction of a millisecond has always passed
    elif job.state is SCHEDULED:
        left = job.ready_at - now - 1
        delay = delay or (job.ready_at - job.created_at) // 1000  # enqueued by another door, which does not store it
    values: dict[str, object] = {
        "id": job.id,
        "tube": in_yaml(tube_of(job.queue) or job.queue),
        "state": _STATES[job.state],
        "pri": job.priority,
        "age": max(0, now - job.created_at) // 1000,
        "delay": delay,
        "ttr": lease_ms // 1000,
        "time-left": max(0, left) // 1000,
        "file": 0,
        "reserves": job.attempt,
        "timeouts": counters.timeouts + job.crashes,
        "releases": counters.releases,
        "buries": counters.buries,
        "kicks": counters.kicks,
    }
    return page(values)


def of_tube(name: str, facts: TubeFacts | None, numbers: Numbers, told_s: int) -> str:
    """stats-tube; without facts it is a tube that is used or watched, and never had a job."""
    tally = facts.info.tally if facts is not None else Tally()
    totals = facts.totals if facts is not None else {}
    pause, left = 0, 0
    if facts is not None and facts.info.paused:
        until = facts.info.paused_until
        left = max(0, until - facts.now - 1) // 1000 if until else TUBE_NUMBER_MAX
        pause = max(told_s, left) if until else TUBE_NUMBER_MAX
    values: dict[str, object] = {
        "name": in_yaml(name),
        "current-jobs-urgent": facts.urgent if facts is not None else 0,
        **_current(tally),
        "total-jobs": totals.get("enqueued", 0),
        "current-using": numbers.using.get(name, 0),
        "current-watching": numbers.watching.get(name, 0),
        "current-waiting": numbers.waiting.get(name, 0),
        "cmd-delete": totals.get("concluded", 0) + totals.get("deleted", 0),
        "cmd-pause-tube": numbers.pauses.get(name, 0),
        "pause": pause,
        "pause-time-left": left,
    }
    return page(values)


def of_server(door: "Beanstalk", found: Stats, total: Numbers, urgent: int, tubes: int) -> str:
    """Stats."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    values: dict[str, object] = {
        "current-jobs-urgent": urgent,
        **_current(found.tally),
        **{f"cmd-{verb}": total.commands[verb] for verb in _COUNTED},
        "job-timeouts": found.totals.get("expired", 0),
        "total-jobs": found.totals.get("enqueued", 0),
        "max-job-size": door.engine.payload_bytes,
        "current-tubes": tubes,
        "current-connections": total.connected,
        "current-producers": total.roles["producer"],
        "current-workers": total.roles["worker"],
        "current-waiting": total.roles["waiting"],
        "total-connections": total.connections,
        "pid": os.getpid(),
        "version": '"1.12"',  # the protocol's version, in the form that clients parse; `holdfast_info` has the server's own
        "rusage-utime": f"{used.ru_utime:.6f}",
        "rusage-stime": f"{used.ru_stime:.6f}",
        "uptime": found.store.uptime_ms // 1000,
        "binlog-oldest-index": 0,
        "binlog-current-index": 0,
        "binlog-records-migrated": 0,
        "binlog-records-written": 0,
        "binlog-max-size": _BINLOG_MAX,
        "draining": str(door.engine.draining or door.closed_to_puts).lower(),
        "id": door.id,
        "hostname": in_yaml(platform.node()),
        "os": in_yaml(platform.version()),
        "platform": in_yaml(platform.machine()),
    }
    return page(values)


def _current(tally: Tally) -> dict[str, int]:
    return {
        "current-jobs-ready": tally.ready,
        "current-jobs-reserved": tally.leased,
        "current-jobs-delayed": tally.scheduled,
        "current-jobs-buried": tally.dead,
    }
