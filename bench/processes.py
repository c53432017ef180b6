"""The kernel's data about processes: CPU time and memory.

CPU time is read from every thread's schedstat, in nanoseconds: the ticks of /proc/PID/stat are 10 ms, which is coarse for a
phase of a second or two. Kernels without it fall back to the ticks.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

PROC = Path("/proc")
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Memory(msgspec.Struct, frozen=True):
    """The memory of one process, in bytes. PSS counts a page shared by n processes as 1/n."""

    rss: int
    pss: int


def cpu_ns(pid: int) -> int:
    """CPU time used so far by all threads of a process; 0 once it has ended."""
    try:
        return sum(int(task.read_text().split()[0]) for task in (PROC / str(pid)).glob("task/*/schedstat")) or _ticks_ns(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _ticks_ns(pid: int) -> int:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_NS


def machine_busy_ns() -> int:
    """CPU time that all of the machine's cores spent on anything, the hypervisor's other guests included, since it started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_NS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name, which may itself have spaces and brackets."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """`root` and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found.extend(sorted(children.get(pid, [])))
    return found


def command_line(pid: int) -> str:
    """The command line of a process, its arguments joined by spaces; empty once it has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def roles(root: int, keeper_mark: str = "holdfast.keeper") -> dict[int, str]:
    """Every process of a server by its role: the started one is the front, the keeper has its name."""
    names = {}
    for pid in tree(root):
        if keeper_mark in command_line(pid):
            names[pid] = "keeper"
        else:
            names[pid] = "front" if pid == root else "other"
    return names


def memories(pids: Iterable[int]) -> dict[int, Memory]:
    """The current memory of these processes; one that has ended meanwhile is left out."""
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = memory(pid)
    return found


def memory(pid: int) -> Memory:
    """The current memory of a process."""
    sizes = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name] = int(size) * 1024
    return Memory(rss=sizes["Rss:"], pss=sizes["Pss:"])


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return _stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
