"""What Dramatiq's tests import of their own module `common`, which is not in the source archive."""

import os
from contextlib import contextmanager

import pytest
from dramatiq import Worker


@contextmanager
def worker(*args, **options):
    """A worker within a block."""
    made = Worker(*args, **options)
    made.start()
    try:
        yield made
    finally:
        made.stop()


skip_in_ci = pytest.mark.skipif("CI" in os.environ, reason="it measures time")
skip_on_windows = skip_on_pypy = skip_unless_rabbit_mq = pytest.mark.skipif(False, reason="")
RABBITMQ_CREDENTIALS = RABBITMQ_USERNAME = RABBITMQ_PASSWORD = None
