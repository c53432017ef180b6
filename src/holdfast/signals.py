"""Signals while processes are started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.process import STOP_SIGNALS


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Block signals while processes are started, and deliver them afterwards; none is lost.

    Started processes inherit this, and unblock signals once they have handlers: a Ctrl-C goes to all of them, and is ours to
    handle.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
