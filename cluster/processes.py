"""Start and end servers on one machine: as another user instead of root, and with all their child processes.

PostgreSQL refuses to run as root, so as root it is started as an unprivileged user. If that user can't reach the programs or
the data (a checkout below /root, a temporary folder of pytest's), it also gets the one capability that overrides the
permissions of files, and no other.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic, sleep

import psutil

POLL_S = 0.01  # between two polls of something that can't be waited for


@cache
def owner() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as; None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL can't run as root, and this machine has neither the user postgres nor nobody.")


def unprivileged(*reached: Path | str) -> list[str]:
    """The command prefix to run without root, with access to these paths."""
    user = owner()
    if user is None:
        return []
    command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if not all(_open_to_all(Path(path)) for path in reached):
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return command


def _open_to_all(path: Path) -> bool:
    """Whether any user may reach this path; links are followed."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents if folder.exists())


def give(path: Path) -> None:
    """Give a file or folder to PostgreSQL's user."""
    if user := owner():
        os.chown(path, user.pw_uid, user.pw_gid)


def run(command: list[str], timeout_s: float = 60) -> str:
    """Run a command to its end and return its output; if it fails the error has the output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(true: Callable[[], object], timeout_s: float, what: str, poll_s: float = POLL_S) -> None:
    """Poll until `true()` holds; raises `TimeoutError` if that takes too long."""
    deadline = monotonic() + timeout_s
    while not true():
        if monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain: {what}")
        sleep(poll_s)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants, itself first."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_tree(pid: int, number: int) -> None:
    """Send a signal to a process and all its descendants."""
    for process in tree(pid):
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def kill_tree(pid: int) -> None:
    """`kill -9` of a process and its descendants, as nearly at once as possible."""
    try:
        psutil.Process(pid).suspend()  # so that it starts no more processes meanwhile
    except psutil.NoSuchProcess:
        return
    doomed = tree(pid)
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=10)
