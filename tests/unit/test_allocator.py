"""A process that has freed much and has little to do gives it back."""

import asyncio
import ctypes
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast import allocator

MIB = 1 << 20


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
async def test_what_was_freed_between_what_is_kept_goes_back_to_the_machine(monkeypatch):
    monkeypatch.setattr(allocator, "_LOOK_S", 0.05)
    monkeypatch.setattr(allocator, "_QUIET", 100.0)  # this process may not be quiet: that is not what is tried
    monkeypatch.setattr(allocator, "_WORKED_S", 0.0)
    pieces = [bytes(5_000) for _ in range(64 * MIB // 5_000)]
    kept, before = pieces[::50], resident_bytes()
    del pieces
    let_go = asyncio.Event()
    giving = asyncio.create_task(allocator.give_back_when_quiet(let_go.set))
    try:
        await asyncio.wait_for(let_go.wait(), 10)
        while resident_bytes() > before - 32 * MIB:
            await asyncio.wait_for(asyncio.sleep(0.05), 10)
    finally:
        giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving
    assert kept


async def test_a_process_that_works_is_not_held_up(monkeypatch):
    monkeypatch.setattr(allocator, "_LOOK_S", 0.02)
    monkeypatch.setattr(allocator, "_QUIET", 0.0)
    asked = []
    giving = asyncio.create_task(allocator.give_back_when_quiet(lambda: asked.append(1)))
    await asyncio.sleep(0.2)
    assert not giving.done()
    giving.cancel()
    assert not asked
