"""Notifications of the kernel (inotify) about changes of names in the path of the store's files.

The kernel queues a notification before the call that changed the name returns. So without one the names lead to the same files
as before, and this check costs an eighth of looking two names up. The check of every second covers what the kernel does not
report: a file system that is mounted over the folder. The files still exist then, below it.

    a notice about the folder        look both names up, and go on
    any other: a folder above moved  look both names up after every commit from now on
"""

import ctypes
import os
import select
import struct

_LOCAL = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "overlay"))
"""File systems that nobody changes but by this kernel, which then sees it."""
_MOVED_FROM, _MOVED_TO, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x200, 0x400, 0x800
_HEAD = struct.Struct("iIII")  # watch, what, cookie, length of the name
_AT_ONCE = 64 << 10


class Notices:
    """Notices of what happens to the names in a folder and to the folders above it.

    `waiting(0)` is empty where nothing has happened for sure. Where notices can't be had, it never is. (The bound method of the poll itself: it is
    called after every commit.)
    """

    def __init__(self, folder: str, kind: str) -> None:
        """`folder` is absolute, `kind` is the type of its file system."""
        self._fd = -1
        self._folder = -1
        if kind in _LOCAL and os.path.realpath(folder) == folder:
            self._begin(folder)
        poll = select.poll()
        poll.register(max(self._fd, 0), select.POLLIN)
        self.waiting = poll.poll if self._fd >= 0 else _always

    def _begin(self, folder: str) -> None:
        system = ctypes.CDLL(None)
        self._fd = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        inside = _MOVED_FROM | _MOVED_TO | _DELETE
        while self._fd >= 0:
            watch = system.inotify_add_watch(self._fd, os.fsencode(folder), _DELETE_SELF | _MOVE_SELF | inside)
            if watch < 0:
                self.close()
            elif inside:
                self._folder, inside = watch, 0
            if folder == "/":
                break
            folder = os.path.dirname(folder)  # noqa: PTH120

    def take(self) -> None:
        """Read the queued notifications, so that later ones can be told apart."""
        if self._fd < 0:
            return
        try:
            found = os.read(self._fd, _AT_ONCE)
        except BlockingIOError:
            return
        place = 0
        while place < len(found):
            watch, what, _, length = _HEAD.unpack_from(found, place)
            if watch != self._folder or not what & (_MOVED_FROM | _MOVED_TO | _DELETE):
                self.close()
                return
            place += _HEAD.size + length

    def close(self) -> None:
        """There will be none any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.waiting = _always


def _always(timeout_ms: float | None = None, /) -> list[tuple[int, int]]:  # noqa: ARG001
    return [(-1, 0)]
