"""`manage.py holdfast_worker`: runs the tasks of a backend, in this process or in several of their own."""

import logging
import os
import sys
from argparse import ArgumentParser
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from holdfast.client.embedded import EmbeddedServer, embedded
from holdfast.client.sync.client import Client
from holdfast.django.backend import HoldfastBackend
from holdfast.django.compat import DEFAULT_TASK_BACKEND_ALIAS, TASKS
from holdfast.django.worker import DjangoWorker
from holdfast.errors import HoldfastError
from holdfast.limits import QUEUES_PER_LEASE
from holdfast.tasks.many import Workers

_URL = "http://127.0.0.1:4653"
_LEVELS = ("ERROR", "INFO", "DEBUG", "DEBUG")
log = logging.getLogger("holdfast.worker")


class Command(BaseCommand):
    """The command. Django's system checks run before it begins."""

    help = "Runs tasks that were enqueued, until SIGTERM or SIGINT: then tasks that run may end, and no new ones are taken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What it can be told."""
        add = parser.add_argument
        add("--backend", default=DEFAULT_TASK_BACKEND_ALIAS, help='A backend in TASKS. Default: "default".')
        add("--queues", help="Queues to take tasks from, comma-separated; the first first. Default: QUEUES of the backend.")
        add("--exclude-queues", default="", help="Queues not to take tasks from, comma-separated.")
        add("--concurrency", type=int, default=10, help="Tasks at once, in each process. Default: 10.")
        add("--processes", type=int, default=1, help="Worker processes. Default: 1.")
        add("--grace", type=float, default=25.0, help="Seconds that running tasks have after SIGTERM. Default: 25.")
        add("--lease", type=float, help="Seconds after which the tasks of a worker that has died are run again. Default: 60.")
        add("--name", help="The name of the worker. Default: HOST:PID.")
        add("--until-empty", action="store_true", help="Exit once no task is ready and none is running.")
        add(
            "--serve",
            action="store_true",
            help="Start a server, too, if none answers: for development. Needs holdfast-queue[server].",
        )

    def handle(self, **given: Any) -> None:
        """Run."""
        backend = backend_of(given["backend"])
        queues = _queues(backend, given["queues"], given["exclude_queues"])
        if given["processes"] < 1 or given["concurrency"] < 1:
            raise CommandError("--processes and --concurrency are at least 1.")
        options = {"concurrency": given["concurrency"], "grace_s": given["grace"], "name": given["name"]}
        if given["lease"] is not None:
            options["lease_ms"] = round(given["lease"] * 1_000)
        level = _LEVELS[given["verbosity"]]
        with ExitStack() as stack:
            if given["serve"]:
                try:
                    stack.enter_context(server_of(backend))
                except RuntimeError as error:
                    raise CommandError(f"--serve: {error}") from error
            arguments = (level, backend.alias, queues, options, given["until_empty"])
            if given["processes"] == 1:
                run(*arguments)
                return
            begin_log(level)
            code = Workers(given["processes"], run_alone, arguments).run()
        if code:
            sys.exit(code)


def backend_of(alias: str) -> HoldfastBackend:
    """A backend of the settings. Raises `CommandError`."""
    if alias not in TASKS.settings:
        raise CommandError(f"There is no backend {alias!r} in TASKS; there are {', '.join(sorted(TASKS.settings)) or 'none'}.")
    backend = TASKS[alias]
    if not isinstance(backend, HoldfastBackend):
        raise CommandError(f"TASKS[{alias!r}] is {type(backend).__module__}.{type(backend).__name__}, and not Holdfast's.")
    return backend


def run(level: str, alias: str, queues: list[str], options: dict[str, Any], until_empty: bool) -> None:
    """Run one worker, until it is told to stop."""
    begin_log(level)
    try:
        DjangoWorker(backend_of(alias), queues, **options).run(until_empty=until_empty)
    except (HoldfastError, ValueError) as error:
        raise CommandError(str(error)) from error


def run_alone(*arguments: Any) -> None:
    """The same in a process that has just begun."""
    django.setup()
    try:
        run(*arguments)
    except CommandError as error:
        sys.exit(f"CommandError: {error}")


def begin_log(level: str) -> None:
    """Log to standard error, unless the project's LOGGING says otherwise."""
    if not (log.handlers or logging.getLogger("holdfast").handlers or logging.getLogger().handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
        log.addHandler(handler)
        log.setLevel(level)


def _queues(backend: HoldfastBackend, wanted: str | None, excluded: str) -> list[str]:
    queues = [name.strip() for name in wanted.split(",")] if wanted else sorted(backend.queues)
    if not queues:
        raise CommandError("QUEUES of the backend is empty, which allows any name: say which with --queues.")
    for name in queues:
        if backend.queues and name not in backend.queues:
            there = ", ".join(sorted(backend.queues))
            raise CommandError(f"There is no queue {name!r} in QUEUES of TASKS[{backend.alias!r}]; there are {there}.")
    without = {name.strip() for name in excluded.split(",")}
    queues = [name for name in queues if name not in without]
    if not 1 <= len(queues) <= QUEUES_PER_LEASE:
        raise CommandError(f"A worker takes from 1 to {QUEUES_PER_LEASE} queues, not from {len(queues)}.")
    return queues


def server_of(backend: HoldfastBackend) -> EmbeddedServer | nullcontext[None]:
    """A server for as long as the worker runs, unless one answers already: its data are in `.holdfast` beside `manage.py`."""
    if backend.client(Client).ready():
        return nullcontext()
    url = backend.given.url or os.environ.get("HOLDFAST_URL") or _URL
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost"):
        raise CommandError(f"No server answers at {url}, and --serve starts one at an address of this machine only.")
    store = Path(getattr(settings, "BASE_DIR", ".")) / ".holdfast" / "jobs.db"
    return embedded(store, port=parts.port or 80, set_url=False)
