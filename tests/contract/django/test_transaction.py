"""`ENQUEUE = "transaction"`: a task and the application's own rows, in one transaction of one PostgreSQL database."""

import threading
import warnings

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.test.utils import override_settings

from holdfast.django.compat import TASKS, TaskResultDoesNotExist, TaskResultStatus
from holdfast.errors import PayloadTooLarge
from tests.contract.django import jobs
from tests.contract.stores.conformance.conftest import postgres_server
from tests.system.whole.servers import Server

pytestmark = pytest.mark.long(15)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A server on PostgreSQL."""
    made = postgres_server()
    made.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    server = Server(tmp_path_factory.mktemp("node"), "--store", made.url(), "--log-level", "warning").start()
    yield server
    server.destroy()


@pytest.fixture
def shop(node):
    """The backend, and the alias of the application's database."""
    made = postgres_server()
    if not made.sql("SELECT 1 FROM pg_roles WHERE rolname = 'shop'"):
        made.sql("CREATE ROLE shop LOGIN")
    for statement in (
        "SELECT holdfast.let_enqueue('shop')",
        "CREATE TABLE IF NOT EXISTS public.orders(n int)",
        "TRUNCATE public.orders",
        "GRANT ALL ON public.orders TO shop",
    ):
        made.sql(statement, database="holdfast")
    parts = made.url("shop").removeprefix("postgresql://").partition("@")[2]
    host, _, rest = parts.partition(":")
    port, _, name = rest.partition("/")
    engine = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": host,
        "PORT": port,
        "NAME": name.partition("?")[0],
        "USER": "shop",
    }
    options = {"URL": node.url, "ENQUEUE": "transaction", "DATABASE": "shop", "DEADLINE": 20}
    given = {"default": {"BACKEND": "holdfast.django.HoldfastBackend", "OPTIONS": options}}
    databases = {**settings.DATABASES, "shop": connections.configure_settings({"default": {}, "shop": engine})["shop"]}
    connections.settings["shop"] = databases["shop"]
    with warnings.catch_warnings(action="ignore"), override_settings(TASKS=given, DATABASES=databases):
        yield TASKS["default"]
    connections["shop"].close()
    del connections["shop"], connections.settings["shop"]


def orders():
    with connections["shop"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        return cursor.fetchone()[0]


def order(number):
    with connections["shop"].cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [number])


def is_there(backend, result):
    try:
        return backend.get_result(result.id)
    except TaskResultDoesNotExist:
        return None


def wait_for(look):
    pause = threading.Event()
    for _ in range(600):
        if found := look():
            return found
        pause.wait(0.05)
    raise AssertionError("it did not come")


def test_the_settings_are_good(shop):
    assert list(shop.check()) == []


def test_both_are_there_after_the_commit(shop, drain):
    with transaction.atomic(using="shop"):
        order(7)
        result = jobs.third_time.using(priority=5, run_after=None).enqueue(1)
        assert is_there(shop, result) is None
    assert wait_for(lambda: is_there(shop, result)).status == TaskResultStatus.READY
    assert orders() == 1
    drain(shop)
    result.refresh()
    assert result.return_value == [1, result.id, 0]
    assert result.enqueued_at is not None


def test_neither_is_there_after_a_rollback(shop):
    with transaction.atomic(using="shop"):
        order(7)
        lost = jobs.add.enqueue(1)
        transaction.set_rollback(True, using="shop")
    with transaction.atomic(using="shop"):
        kept = jobs.add.enqueue(2)
    wait_for(lambda: is_there(shop, kept))
    assert orders() == 0
    assert is_there(shop, lost) is None


def test_a_refusal_is_that_of_the_client(shop):
    with transaction.atomic(using="shop"):
        with pytest.raises(PayloadTooLarge), transaction.atomic(using="shop"):
            jobs.add.enqueue("x" * (2 << 20))
        order(8)
    assert orders() == 1


def test_what_is_refused_after_the_commit_has_failed_with_its_reason(shop):
    one_only = jobs.one_of_each.using(on_conflict="refuse")
    with transaction.atomic(using="shop"):
        first, second = one_only.enqueue("a"), one_only.enqueue("a")
    found = wait_for(lambda: is_there(shop, second))
    assert is_there(shop, first).status == TaskResultStatus.READY
    assert (found.status, found.attempts) == (TaskResultStatus.FAILED, 0)
    assert "unique key" in found.errors[0].traceback
