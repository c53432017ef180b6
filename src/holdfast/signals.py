"""Signals while processes are started; and the end of standard input, by which a process learns that the one which started it is gone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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


def when_input_ends(do: Callable[[], object]) -> None:
    """Call this from a thread when standard input, which may be anything, has ended."""

    def read_out() -> None:
        with suppress(OSError):
            while os.read(0, 4_096):
                pass
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            do()

    threading.Thread(target=read_out, name="holdfast-input", daemon=True).start()
