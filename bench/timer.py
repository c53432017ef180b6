"""A tick finer than the event loop's own timers.

libuv and epoll count in whole milliseconds, which is as long as what a fixed-rate phase measures. A kernel timer that the loop
reads like a socket ticks to some ten microseconds.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable

CLOCK_MONOTONIC = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Interval(ctypes.Structure):
    """struct itimerspec: the period, and the time to the first tick."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Ticker:
    """Calls `tick` every `period_us` microseconds until it is closed."""

    def __init__(self, period_us: int, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._fd = _libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        period_ns = period_us * 1000
        interval = _Interval(*divmod(period_ns, 10**9), *divmod(period_ns, 10**9))
        _libc.timerfd_settime(self._fd, 0, ctypes.byref(interval), None)
        asyncio.get_running_loop().add_reader(self._fd, self._ticked)

    def _ticked(self) -> None:
        os.read(self._fd, 8)  # how many periods have passed; without reading it the timer stays due
        self._tick()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
