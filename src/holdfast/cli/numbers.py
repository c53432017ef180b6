"""Numbers of a server as people read them."""

from typing import Any


def amount(count: int) -> str:
    """A count with separators."""
    return f"{count:,}"


def age(ms: int | None) -> str:
    """A span of time in its two largest units; - without one."""
    if ms is None:
        return "-"
    seconds = ms // 1_000
    if seconds < 60:
        return f"{seconds}s"
    for size, large, small, part in ((86_400, "d", "h", 3_600), (3_600, "h", "m", 60), (60, "m", "s", 1)):
        if seconds >= size:
            return f"{seconds // size}{large} {seconds % size // part}{small}"
    raise AssertionError("a minute and more has a unit")


def queue_rate(queue: dict[str, Any], event: str) -> float:
    """How often something happens to a queue, per second."""
    return float(queue["rates"].get(event, 0.0))


def backlog(queue: dict[str, Any]) -> int:
    """Jobs of a queue that are not finished: those that its bound counts."""
    jobs = queue["jobs"]
    return int(jobs["scheduled"] + jobs["ready"] + jobs["leased"])


def filled(queue: dict[str, Any]) -> float:
    """How much of a queue's bound is used, in jobs or in bytes, whichever is nearer: 1 is full."""
    jobs = backlog(queue) / queue["capacity_jobs"] if queue["capacity_jobs"] else 1.0
    size = queue["bytes"] / queue["capacity_bytes"] if queue["capacity_bytes"] else 1.0
    return max(jobs, size)


def share(queue: dict[str, Any]) -> str:
    """How much of a queue's bound is used, in percent."""
    return f"{100 * filled(queue):.0f}%"
