"""Memory that was freed goes back to the machine.

The C library keeps what is freed between pieces that are in use: after a burst of large bodies or long listings, tens of MB for as long as the
process lives. Asked to (`malloc_trim`), it gives back every page that is free. That takes 5 ms, and 0.1 ms more for each MB given back, in which
nobody is answered: so it is asked by a process that has worked, and has little to do now.
"""

import asyncio
import ctypes
import time

_LOOK_S = 5.0
_QUIET = 0.1  # of a processor, since the last look
_WORKED_S = 0.5  # of processor time, since it was asked last: what was freed by less is not worth it


async def give_back_when_quiet() -> None:
    """Do so until cancelled; at once done where the C library is not glibc, which alone needs to be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    asked = looked = time.process_time()
    while True:
        await asyncio.sleep(_LOOK_S)
        now = time.process_time()
        if now - looked < _QUIET * _LOOK_S and now - asked > _WORKED_S:
            trim(0)
            asked = now = time.process_time()
        looked = now
