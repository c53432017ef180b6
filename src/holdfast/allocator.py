"""Memory that is not needed goes back to the machine.

The C library keeps what is freed between pieces that are in use: after a burst of large bodies or long listings, tens of MB for as long as the
process lives. Asked to (`malloc_trim`), it gives back every page that is free. That takes 5 ms, and 0.1 ms more for each MB given back, in which
nobody is answered: so it is asked by a process that has worked, and has little to do now.

It also has a heap for each thread, so that threads don't wait for each other, and what one thread has freed no other uses. Ours take turns anyway:
one heap for all of them holds half as much that is free.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

_LOOK_S = 5.0
_QUIET = 0.1  # of a processor, since the last look
_WORKED_S = 0.5  # of processor time, since it was asked last: what was freed by less is not worth it
_M_ARENA_MAX = -8  # of malloc.h


def use_one_heap() -> None:
    """Before there are threads. Where the environment says how many there may be, that stands."""
    system = ctypes.CDLL(None)
    if (
        hasattr(system, "mallopt")
        and "MALLOC_ARENA_MAX" not in os.environ
        and "arena_max" not in os.environ.get("GLIBC_TUNABLES", "")
    ):
        system.mallopt(_M_ARENA_MAX, 1)


async def give_back_when_quiet(let_go: Callable[[], None] | None = None) -> None:
    """Do so until cancelled; `let_go` frees what the process could do without. Done at once where the C library is not glibc, which alone needs to be
    asked.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    asked = looked = time.process_time()
    while True:
        await asyncio.sleep(_LOOK_S)
        now = time.process_time()
        if now - looked < _QUIET * _LOOK_S and now - asked > _WORKED_S:
            if let_go is not None:
                let_go()
            trim(0)
            asked = now = time.process_time()
        looked = now
