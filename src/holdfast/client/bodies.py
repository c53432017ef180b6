"""Bodies of requests that are more than their fields."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from holdfast.client.contents import encode
from holdfast.client.types import JobOptions, NewJob, PutOptions
from holdfast.limits import BULK_JOBS

CHUNK_BYTES = 8 << 20  # well below the bound of a whole body, which is 16 MiB more than that of a payload


def job_body(payload: Any, options: PutOptions) -> bytes:
    """One job for the queue that the path names."""
    return encode({"payload": payload, **options})


def event_body(data: Any, scope: str, require_interest: bool, options: JobOptions) -> bytes:
    """An event with the options of its copies."""
    return encode({"data": data, "scope": scope, "require_interest": require_interest, **options})


def raw_query(options: PutOptions) -> dict[str, Any]:
    """The options of a job whose body is its payload, as query parameters."""
    query: dict[str, Any] = dict(options)
    if "tags" in query:
        tags = list(query["tags"])
        plain = all(tag and "," not in tag and not tag.startswith("[") for tag in tags)
        query["tags"] = ",".join(tags) if plain else encode(tags).decode()
    for name in ("retry", "meta", "budgets"):
        if name in query:
            query[name] = encode(query[name]).decode()
    for name in ("run_at", "expires_at"):
        if name in query:
            query[name] = query[name].isoformat()
    return query


def chunks(jobs: Iterable[NewJob]) -> Iterator[bytes]:
    """Bodies of up to 1,000 jobs and about 8 MiB each, in order."""
    for entries in _pieces(jobs):
        yield b'{"jobs":[' + b",".join(entries) + b"]}"


def first_of(jobs: Iterable[NewJob]) -> list[bytes]:
    """The first of these jobs, as many as one request takes."""
    return next(_pieces(jobs), [])


def batch_body(entries: list[bytes], name: str, closed: bool, closing: Mapping[str, NewJob | None]) -> bytes:
    """A batch with its first jobs, and with its closing jobs by when they are due."""
    fields = {"name": name, "closed": closed} | {on: job for on, job in closing.items() if job is not None}
    return encode(fields)[:-1] + b',"jobs":[' + b",".join(entries) + b"]}"


def _pieces(jobs: Iterable[NewJob]) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for job in jobs:
        entry = encode(job)
        if held and (len(held) == BULK_JOBS or size + len(entry) > CHUNK_BYTES):
            yield held
            held, size = [], 0
        held.append(entry)
        size += len(entry) + 1
    if held:
        yield held
