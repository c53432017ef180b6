"""kombu's own tests of a transport, each class that applies to us, on a real server."""

import kombu
import pytest

from holdfast.celery import Transport
from tests.contract.sources import module, source

pytestmark = pytest.mark.long(60)

COMMON = module(source("kombu-5.7.0") / "t" / "integration" / "common.py")


@pytest.fixture
def invalid_connection() -> kombu.Connection:
    return kombu.Connection("holdfast://127.0.0.1:9")


@pytest.fixture
def failover_connection(broker: str) -> kombu.Connection:
    return kombu.Connection(f"holdfast://127.0.0.1:9;{broker}")


class TestFunctionality(COMMON.BasicFunctionality):
    def test_a_failed_connection_is_an_error_that_the_transport_names(self, invalid_connection: kombu.Connection) -> None:
        with pytest.raises(Transport.connection_errors):
            invalid_connection.connect()


class TestExchangeTypes(COMMON.BaseExchangeTypes):
    pass


class TestTimeToLive(COMMON.BaseTimeToLive):
    pass


class TestPriority(COMMON.BasePriority):
    """The highest number first, as with RabbitMQ."""

    PRIORITY_ORDER = "asc"


class TestMessage(COMMON.BaseMessage):
    pass


class TestFailover(COMMON.BaseFailover):
    pass


class TestEventLoop(COMMON.BaseEventLoop):
    pass
