"""A file system in a file, for faults: it can lose power, and it can become full."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# _IOR('X', 125, __u32) of ext4; NOLOGFLUSH drops what the journal has not written, as a power cut does.
EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
LET_GO_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.02


def unavailable() -> str | None:
    """Why no loop device can be mounted here; None if it can."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"
    missing = [tool for tool in ("mkfs.ext4", "losetup", "mount", "umount") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} not installed"
    if not Path("/dev/loop-control").exists():
        return "no /dev/loop-control"
    return None


def run(*command: str) -> str:
    """Run a system command; its output, which is shown if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


class Disk:
    """An ext4 in the file `image`, mounted at `at`."""

    def __init__(self, image: Path, at: Path, size_bytes: int) -> None:
        self.image = image
        self.at = at
        self.mounted = False
        with image.open("wb") as file:
            file.truncate(size_bytes)  # sparse: it takes only what is written
        run("mkfs.ext4", "-q", "-m", "0", str(image))
        at.mkdir()

    def mount(self) -> None:
        """Mount it; the kernel replays the journal, as after a power cut. By a device of its own: while a container that was started meanwhile
        holds the file system of before, `mount -o loop` would give that one again, which has failed for good.
        """
        device = run("losetup", "--find", "--show", str(self.image))
        try:
            run("mount", device, str(self.at))
        finally:
            run("losetup", "--detach", device)  # with the last that uses it
        self.mounted = True

    def unmount(self) -> None:
        """Unmount it. No file on it may be open; the last thread of a killed process may still be closing some."""
        deadline = time.monotonic() + LET_GO_WITHIN_S
        while self.mounted:
            try:
                run("umount", str(self.at))
                self.mounted = False
            except RuntimeError as error:
                if "busy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_AGAIN_S)

    def cut_power(self) -> None:
        """From now on no write reaches the image; what was not synced is lost at the next mount."""
        shut_down(self.at)


def shut_down(at: Path) -> None:
    """From now on the ext4 that is mounted there fails every call, and writes nothing any more."""
    directory = os.open(at, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
    finally:
        os.close(directory)


@asynccontextmanager
async def mounted(work: Path, size_bytes: int) -> AsyncIterator[Disk]:
    """A disk below `work`, removed at the end of the block."""
    disk = Disk(work / "disk.img", work / "disk", size_bytes)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        disk.image.unlink()
