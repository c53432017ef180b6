"""What `OPTIONS` of the backend can say, and Django's system checks of it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core import checks

from holdfast.client.tokens import Hidden
from holdfast.limits import ATTEMPTS_MAX, QUEUE_NAME, QUEUES_PER_LEASE

WHEN = ("on_commit", "now", "transaction")


@dataclass(frozen=True)
class Options:
    """The options by their names in `OPTIONS`; in lower case here.

    `url`, `token`, `ca_file`, `client_cert`, `client_key`: how the server is reached, else by the variables `HOLDFAST_URL` and so on.
    `deadline`: of one call, in seconds. `enqueue`: when; see the guide. `database`: whose transactions count. `queue_prefix`: put before the
    names of queues, where several programs share a server. `max_attempts`: of tasks that don't say. `web_url`: of Holdfast's page, for links.
    """

    url: str | tuple[str, ...] | None = None
    token: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    deadline: float | timedelta | None = None
    enqueue: str = "on_commit"
    database: str = "default"
    queue_prefix: str = ""
    max_attempts: int | None = None
    web_url: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Those that are known; the others are for `check`."""
        known = {field.name for field in fields(cls)}
        lower: dict[str, Any] = {
            name.lower(): tuple(value) if isinstance(value, list) else value for name, value in given.items()
        }
        if isinstance(token := lower.get("token"), str):
            lower["token"] = Hidden(token)
        return cls(**{name: value for name, value in lower.items() if name in known})

    @property
    def deadline_s(self) -> float | None:
        """The deadline of one call, in seconds."""
        return self.deadline.total_seconds() if isinstance(self.deadline, timedelta) else self.deadline


def check(alias: str, queues: set[str], given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    """What is wrong with a backend's settings, each with what to do about it."""
    where = f"TASKS[{alias!r}]"
    known = [field.name.upper() for field in fields(Options)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            hint = f"Is {near[0]} meant?" if near else f"There are {', '.join(known)}."
            yield checks.Error(f"{where}: there is no option {name!r} in OPTIONS.", hint=hint, id="holdfast.E001")
    options: Any = Options.of(given)
    yield from _check_url(where, options)
    yield from _check_when(where, options)
    yield from _check_queues(where, queues, options.queue_prefix)
    yield from _check_numbers(where, options)
    if not apps.is_installed("holdfast.django"):
        hint = (
            "Insert 'holdfast.django' in INSTALLED_APPS: manage.py holdfast_worker and the pages of the admin are part of it."
        )
        yield checks.Warning(f"{where} is Holdfast's backend, and its app is not installed.", hint=hint, id="holdfast.W001")


def _check_url(where: str, options: Any) -> Iterator[checks.CheckMessage]:
    urls = options.url.split(",") if isinstance(options.url, str) else options.url
    for url in urls if isinstance(urls, list | tuple) else () if urls is None else (urls,):
        if not _is_address(str(url).strip()):
            hint = "Such as 'http://127.0.0.1:4653'; several servers in a list. Without URL it is that of HOLDFAST_URL."
            yield checks.Error(f"{where}: URL has {url!r}, which is no address of a server.", hint=hint, id="holdfast.E002")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _check_when(where: str, options: Any) -> Iterator[checks.CheckMessage]:
    if options.enqueue not in WHEN:
        hint = 'It is "on_commit" (the usual), "now" or "transaction".'
        yield checks.Error(f"{where}: ENQUEUE can't be {options.enqueue!r}.", hint=hint, id="holdfast.E003")
    databases = getattr(settings, "DATABASES", None) or {}
    if options.enqueue == "now":
        return
    if options.database not in databases and (databases or options.database != "default"):
        hint = f"There are {', '.join(databases) or 'none'}. It is the one whose transactions ENQUEUE waits for."
        yield checks.Error(f"{where}: DATABASE {options.database!r} is not in DATABASES.", hint=hint, id="holdfast.E004")
    elif options.enqueue == "transaction" and "postg" not in str(databases.get(options.database, {}).get("ENGINE")):
        hint = 'The database of Holdfast and of DATABASE has to be the same PostgreSQL database; or take "on_commit".'
        yield checks.Error(f"{where}: ENQUEUE 'transaction' needs PostgreSQL.", hint=hint, id="holdfast.E005")


def _check_queues(where: str, queues: set[Any], prefix: Any) -> Iterator[checks.CheckMessage]:
    if not isinstance(prefix, str):
        yield checks.Error(f"{where}: QUEUE_PREFIX can't be {prefix!r}.", hint='A text; "" for none.', id="holdfast.E006")
        return
    for name in sorted(queues, key=str):
        if not isinstance(name, str) or QUEUE_NAME.match(f"{prefix}{name}") is None:
            hint = "A queue is 1 to 200 of A-Z a-z 0-9 . _ : -"
            yield checks.Error(f"{where}: {prefix}{name} can't be the name of a queue.", hint=hint, id="holdfast.E006")
    if len(queues) > QUEUES_PER_LEASE:
        hint = "Start workers with --queues, each with some of them."
        yield checks.Warning(
            f"{where}: a worker takes from at most {QUEUES_PER_LEASE} of its {len(queues)} queues.",
            hint=hint,
            id="holdfast.W002",
        )


def _check_numbers(where: str, options: Any) -> Iterator[checks.CheckMessage]:
    most = options.max_attempts
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= ATTEMPTS_MAX):
        hint = f"A whole number from 1 to {ATTEMPTS_MAX:,}: how often a task is tried that does not say. 1 is the usual."
        yield checks.Error(f"{where}: MAX_ATTEMPTS can't be {most!r}.", hint=hint, id="holdfast.E007")
    deadline = options.deadline_s
    if deadline is not None and (not isinstance(deadline, int | float) or isinstance(deadline, bool) or deadline <= 0):
        hint = "Seconds, or a timedelta: how long one call may take, over all of its tries."
        yield checks.Error(f"{where}: DEADLINE can't be {options.deadline!r}.", hint=hint, id="holdfast.E008")
