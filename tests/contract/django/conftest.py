"""Django with a database in a file; each test has a queue of its own."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import django
import pytest
from django.conf import settings

from tests.contract.django import project_settings

if not settings.configured:
    os.environ["DJANGO_SETTINGS_MODULE"] = project_settings.__name__
    django.setup()
    del os.environ["DJANGO_SETTINGS_MODULE"]  # other tests' programs are none of Django

from django.core.management import call_command
from django.test.utils import override_settings

from holdfast.django.compat import TASKS, task_enqueued, task_finished, task_started
from holdfast.django.worker import DjangoWorker
from tests.contract.client.clients import PATIENCE_S
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[None]:
    """Its tables."""
    call_command("migrate", verbosity=0)
    yield
    project_settings.FOLDER.cleanup()


@pytest.fixture
def prefix() -> str:
    """Of the queues of a test on the server."""
    return f"t{next(_numbers)}-"


@pytest.fixture
def configured(server: Server, prefix: str) -> Callable[..., AbstractContextManager[Any]]:
    """The backend with these options."""

    @contextmanager
    def configured(**options: Any) -> Iterator[Any]:
        given = {"URL": server.url, "QUEUE_PREFIX": prefix, "DEADLINE": PATIENCE_S, **options}
        tasks = {"default": {"BACKEND": "holdfast.django.HoldfastBackend", "QUEUES": ["default", "other"], "OPTIONS": given}}
        with override_settings(TASKS=tasks):
            yield TASKS["default"]

    return configured


@pytest.fixture
def backend(configured: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with configured() as backend:
        yield backend


@pytest.fixture
def drain(server: Server) -> Callable[..., Any]:
    """Run what is ready."""

    def drain(backend: Any, *queues: str, **options: Any) -> Any:
        worker = DjangoWorker(backend, list(queues or ("default",)), **options)
        worker.run(until_empty=True)
        return worker.tally

    return drain


@pytest.fixture
def working() -> Callable[..., AbstractContextManager[Any]]:
    """A worker within a block."""
    return lambda backend, **options: running(DjangoWorker(backend, ["default"], **options))


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, str]]]:
    """The signals: their name, the result's id and its status."""
    said: list[tuple[str, str, str]] = []
    receivers = []
    for name, signal in (("enqueued", task_enqueued), ("started", task_started), ("finished", task_finished)):

        def receive(sender: Any, task_result: Any, name: str = name, **_: Any) -> None:
            said.append((name, task_result.id, str(task_result.status)))

        signal.connect(receive)
        receivers.append((signal, receive))
    yield said
    for signal, receive in receivers:
        signal.disconnect(receive)
