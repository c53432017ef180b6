"""What some tests need of the machine: root, tools of Debian, and file systems of their own.

A test that can't run here is skipped with the reason; where CI is "true" it fails instead, so that no such skip goes unseen there.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def need(*tools: str, root: bool = False) -> None:
    """Go on only where these tools are there (and we are root); `.ci/packages` installs them."""
    missing = [tool for tool in tools if tool_path(tool) is None]
    if missing:
        cannot(f"{', '.join(missing)} is not installed")
    if root and os.geteuid() != 0:
        cannot("it needs root")


def cannot(reason: str) -> None:
    """This machine can't run the test."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"can't run here, and must in CI: {reason}")
    pytest.skip(reason)


def tool_path(tool: str) -> str | None:
    """Where a tool is; servers live where only root looks."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


@contextmanager
def small_disk(at: Path, size_bytes: int, kind: str) -> Iterator[Path]:
    """A file system of its own, `tmpfs` or `ext4`, mounted at a new folder. It goes when nobody has a file of it open any more."""
    need("mount", "umount", *(["mkfs.ext4"] if kind == "ext4" else []), root=True)
    at.mkdir()
    if kind == "tmpfs":
        _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(at))
    else:
        image = at.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run([tool_path("mkfs.ext4"), "-q", "-m", "0", image], check=True, capture_output=True)
        _mount("-o", "loop", str(image), str(at))
    try:
        yield at
    finally:
        subprocess.run([tool_path("umount"), "--lazy", at], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run([tool_path("mount"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        cannot(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def free_bytes(at: Path) -> int:
    """How much can still be written there."""
    space = os.statvfs(at)
    return space.f_bavail * space.f_frsize


def fill(at: Path, leave_bytes: int = 0) -> Path:
    """Take up the free space of a disk but for so much; the ballast, to be removed again."""
    ballast = at / "ballast"
    with ballast.open("ab") as file:
        while (surplus := free_bytes(at) - leave_bytes) >= os.statvfs(at).f_frsize:
            start = file.seek(0, os.SEEK_END)
            try:
                os.posix_fallocate(file.fileno(), start, surplus)
            except OSError:  # what is free on paper can't all be had: take it in pieces
                if surplus < 1 << 16:
                    break
                os.posix_fallocate(file.fileno(), start, surplus // 2)
        os.fsync(file.fileno())
    return ballast
