"""What a store file needs of the machine: an exclusive lock, a local disk, free space, and a reserve.

The reserve is a file of zeros beside the store. When the disk is full it is deleted, so that the few pages that end a lease can
still be written; it is created again once there is room.
"""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from holdfast.limits import DISK_RESERVE_BYTES
from holdfast.logs import structlog

log = structlog.get_logger(__name__)
# As the kernel names them in mountinfo. A FUSE one is named by its program, so this list can't be whole: it has those that are in wide use.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs3",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "coda",
        "glusterfs",
        "lustre",
        "gpfs",
        "ncpfs",
        "ocfs2",
        "gfs2",
        "beegfs",
        "orangefs",
        "pvfs2",
        "panfs",
        "vboxsf",
        "fuse.sshfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.blobfuse",
        "fuse.blobfuse2",
        "fuse.mountpoint-s3",
        "fuse.rclone",
        "fuse.juicefs",
        "fuse.moosefs",
        "fuse.mfs",
        "fuse.seaweedfs",
        "fuse.davfs",
        "fuse.smbnetfs",
        "fuse.curlftpfs",
    ]
)
MEMORY_FILE_SYSTEMS = frozenset(("tmpfs", "ramfs"))
_TO_OPEN_BYTES = 1 << 20


class UnfitPlace(Exception):
    """The store can't be there; the message says why and what to do."""


def why(error: Exception) -> str:
    """What a command says of an error of its store: an error of the system has its file, and neither number nor quotes."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename} can't be opened: {error.strerror}."
    return str(error)


def file_system(path: Path, mounts: str | None = None) -> str:
    """The type of the file system of `path`, from /proc/self/mountinfo ("" if that does not exist)."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return ""
    best, kind = "", ""
    target = str(path.resolve())
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = fields[4].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def check_place(folder: Path, mounts: str | None = None) -> None:
    """Raise `UnfitPlace` on a network file system: its locks and shared memory do not meet SQLite's needs."""
    kind = file_system(folder, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UnfitPlace(
            f"{folder} is on a network file system ({kind}); SQLite can't keep jobs safe there. Use a local disk, or the PostgreSQL store."
        )


def check_regular(path: Path) -> None:
    """Raise `UnfitPlace` if something else than a file has the name: a pipe waits for ever, and a device would be replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnfitPlace(f"{path} can't be opened: {error.strerror or error}.") from None
    if not stat.S_ISREG(mode):
        raise UnfitPlace(
            f"{path} is {'a directory' if stat.S_ISDIR(mode) else 'a pipe, a socket or a device'}, and a store is a file."
        )


def refuse_stray_log(path: Path) -> None:
    """Raise `UnfitPlace` where there is a log without its file. SQLite would remove it, or play it into another file of this name."""
    log = path.with_name(path.name + "-wal")
    with suppress(OSError):
        if log.stat().st_size and not (path.exists() and path.stat().st_size):
            raise UnfitPlace(
                f"{log} is there without its store file. It may hold acknowledged jobs, and would spoil another file of this name: move it away."
            )


def make_private(path: Path) -> None:
    """Create the file for its owner only, if it is not there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class FileLock:
    """One server to a file: two advisory locks, held by the process that writes.

    The lock on PATH.lock protects the name and says who holds it; the lock on the file itself protects it under other names,
    such as a hard link. The second descriptor stays open until the store is closed: closing any descriptor of a file drops the
    locks that SQLite has on it.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """`new`: lock only the name, because the file does not exist yet."""
        check_regular(path)
        self._name = path.with_name(path.name + ".lock")
        self._made = not self._name.exists()
        self._fds = [os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)]
        try:
            if not self._take() or not self.stands():  # it may just have been withdrawn
                self._made = False
                owner = os.read(self._fds[0], 20).decode(errors="replace").strip() or "unknown"
                raise UnfitPlace(f"{path} is in use by another server (process {owner}). One server to a file.")
            os.ftruncate(self._fds[0], 0)
            os.write(self._fds[0], str(os.getpid()).encode())
            if new:
                return
            self._fds.append(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if not self._take():
                raise UnfitPlace(f"{path} is in use by another server, which knows it by another name. One server to a file.")
        except BaseException:
            self.withdraw()
            raise

    def _take(self) -> bool:
        try:
            fcntl.flock(self._fds[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def stands(self) -> bool:
        """Whether the locked file still has its name: another one would find no lock."""
        try:
            return os.path.samestat(os.fstat(self._fds[0]), self._name.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let another server have the file."""
        for fd in self._fds:
            os.close(fd)

    def withdraw(self) -> None:
        """The same where the file was refused: the lock is not left beside it, unless it was there before."""
        if self._made and self.stands():
            self._name.unlink(missing_ok=True)
        self.release()


class Disk:
    """Free space around the store, and the reserve. With a watermark of 0 there is neither."""

    def __init__(self, path: Path, watermark_bytes: int) -> None:
        self._folder = path.parent
        self._watermark = watermark_bytes
        self._reserve = _reserve_of(path)
        self._reserve_bytes = min(DISK_RESERVE_BYTES, watermark_bytes)
        self.free_bytes = 0
        self.accepting = True
        self._told = False
        self._see(0)

    def look(self, reusable_bytes: int = 0) -> None:
        """Measure the free space, and log a change; create the reserve if it is missing and there is room for it.

        `reusable_bytes` are empty pages within the store file: room for new jobs, though the disk does not count it as free.
        """
        self._see(reusable_bytes)
        if self.accepting is self._told:
            self._told = not self.accepting
            tell, event = (
                (log.info, "there is room on the disk again: new jobs are taken")
                if self.accepting
                else (log.warning, "the disk is at its watermark: new jobs are refused, leases can still be ended")
            )
            tell(event, folder=str(self._folder), free_bytes=self.free_bytes, disk_watermark_bytes=self._watermark)

    def _see(self, reusable_bytes: int) -> None:
        self.free_bytes = self._free()
        if self._reserve_bytes and not self._reserve.exists() and self.free_bytes > self._watermark + self._reserve_bytes:
            self._take_reserve()
        kept_back = 0 if self._reserve.exists() else self._reserve_bytes  # the deleted reserve is for ending leases
        self.accepting = self.free_bytes + reusable_bytes - kept_back >= self._watermark

    def spend_reserve(self) -> bool:
        """Give the reserve back to the disk; False when it was not there."""
        self.accepting = False
        return _unlink(self._reserve)

    def _take_reserve(self) -> None:
        part = self._reserve.with_name(self._reserve.name + ".part")
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
            finally:
                os.close(fd)
            part.rename(self._reserve)
        except OSError:
            part.unlink(missing_ok=True)
        self.free_bytes = self._free()

    def _free(self) -> int:
        return free_bytes(self._folder)


def make_room(path: Path) -> None:
    """Give the reserve back on a full disk before the store at `path` is opened: SQLite's index of the log needs some pages too."""
    if free_bytes(path.parent) < _TO_OPEN_BYTES:
        _unlink(_reserve_of(path))


def free_bytes(folder: Path) -> int:
    """What its disk has free for us."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def _reserve_of(path: Path) -> Path:
    return path.with_name(path.name + ".reserve")


def _unlink(reserve: Path) -> bool:
    try:
        reserve.unlink()
    except FileNotFoundError:
        return False
    sync_folder(reserve.parent)
    return True


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each name flushed into its parent folder."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
