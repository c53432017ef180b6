"""The current speed of the disk.

A durable queue can be no faster than its disk syncs, and a shared disk varies by a factor of ten over time; so the sync time is
measured right before each case, in the directory of the store, and shown with every figure.
"""

import os
import time
from pathlib import Path

from bench.figures import Latency

BLOCK = 4096


def fdatasync_latency(directory: Path, calls: int) -> Latency:
    """The time of appending 4 KiB to a file and syncing it, over `calls` calls."""
    path = directory / "fdatasync.probe"
    block = os.urandom(BLOCK)
    samples = []
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(calls):
            began = time.perf_counter()
            os.write(fd, block)
            os.fdatasync(fd)
            samples.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    latency = Latency.of(samples)
    assert latency is not None, "calls is at least 1"
    return latency


def filesystem_of(directory: Path) -> str:
    """The type of the file system that holds a directory, such as ext4; on tmpfs nothing is durable."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
