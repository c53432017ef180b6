"""The page on enqueueing inside a transaction: its SQL and its Python are run, one after the other, and end as jobs."""

import contextlib
import io

import psycopg
import pytest

from cluster.postgres import server as postgres
from tests.system.docs.examples import same_text
from tests.system.docs.pages import blocks, read
from tests.system.whole.servers import until

PAGE = "docs/transactional-enqueue.md"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as one:
        yield one


def test_the_examples_put_the_jobs_that_they_say(database, serve):
    serve("--store", database.url())  # it makes the schema
    database.sql("CREATE ROLE shop LOGIN")
    names: dict[str, object] = {}
    printed, wrong = io.StringIO(), []
    for block in blocks(read(PAGE)):
        if block.language == "sql":
            role = "shop" if "BEGIN" in block.text else "holdfast"
            with psycopg.connect(database.url(role), autocommit=True) as connection:
                connection.execute(block.text)
        elif block.language == "python":
            printed = io.StringIO()
            code = block.text.replace("postgresql://shop@127.0.0.1/holdfast", database.url("shop"))
            with contextlib.redirect_stdout(printed):
                exec(compile(code, f"{PAGE}:{block.line}", "exec"), names)
        elif block.language == "text" and not same_text(block.text, printed.getvalue().strip()):
            wrong.append(f"{PAGE}:{block.line}: printed was {printed.getvalue()!r}")
    assert not wrong
    until(lambda: not database.value("SELECT count(*) FROM holdfast.inbox", database="holdfast"), "all is taken in")
    jobs = "SELECT convert_from(payload, 'UTF8')::jsonb ->> 'order', type, priority FROM holdfast.job ORDER BY id"
    assert database.sql(jobs, database="holdfast") == [("7", "confirmation", 10), ("8", "", 1024), ("9", "", 1024)]
    assert database.sql("SELECT id FROM public.orders ORDER BY id", database="holdfast") == [(7,), (8,), (9,)]
    assert database.value("SELECT count(*) FROM holdfast.scheduled", database="holdfast") == 1
