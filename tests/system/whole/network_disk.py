"""A mount that the kernel calls `fuse.sshfs`: a network file system to whoever asks, with no network. It has one empty folder."""

import ctypes
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.system.whole.machine import cannot, need, tool_path

# The kernel's side of FUSE, from include/uapi/linux/fuse.h
_ASKED = struct.Struct("<IIQQIIIHH")  # length, opcode, unique, ...
_TOLD = struct.Struct("<IiQ")  # length, error, unique
_GETATTR, _INIT = 3, 26
_ENOSYS = 38
_VERSION = struct.pack("<IIIIHHII32x", 7, 31, 1 << 16, 0, 16, 12, 1 << 16, 1)
_FOLDER = struct.pack("<Q8xQQQQQQ10I", 60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4_096, 0)


@contextmanager
def network_mount(at: Path) -> Iterator[Path]:
    """Mounted at a new folder."""
    need("umount", root=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        cannot(f"/dev/fuse: {error}")
    at.mkdir()
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,subtype=sshfs"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"elsewhere:/jobs", os.fsencode(at), b"fuse", 0, options.encode()):
        os.close(device)
        cannot(f"mount of fuse: {os.strerror(ctypes.get_errno())}")
    answering = threading.Thread(target=_answer, args=(device,), daemon=True)
    answering.start()
    try:
        yield at
    finally:
        subprocess.run([tool_path("umount"), at], check=True, capture_output=True)
        answering.join()
        os.close(device)


def _answer(device: int) -> None:
    with suppress(OSError):  # the device says so when it is unmounted
        while True:
            _, operation, unique, *_ = _ASKED.unpack_from(os.read(device, 1 << 17))
            body = {_INIT: _VERSION, _GETATTR: _FOLDER}.get(operation)
            error = -_ENOSYS if body is None else 0
            os.write(device, _TOLD.pack(_TOLD.size + len(body or b""), error, unique) + (body or b""))
