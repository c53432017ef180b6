"""What tests start as a fork is what a fresh interpreter is: both are asked the same."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import prefork
from tests.system.whole.servers import Server, command_line, until

HOLDFAST = [sys.executable, "-m", "holdfast"]
PROBE = """
import atexit, gc, json, os, signal, sys, threading
stopped = signal.pthread_sigmask(signal.SIG_BLOCK, ())
sys.stdout.write(json.dumps({
    "arguments": sys.argv, "words": sys.orig_argv, "folder": os.getcwd(), "path": sys.path, "variables": dict(os.environ),
    "command": open("/proc/self/cmdline").read().rstrip("\\0").split("\\0"), "name": open("/proc/self/comm").read(), "stdin": sys.stdin.read(),
    "streams": [[s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.fileno()] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "signals": [str(signal.getsignal(s)) for s in signal.Signals if s != signal.SIGINT], "stopped": [str(s) for s in stopped],
    "descriptors": [s for s in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + s)], "threads": threading.active_count(),
    "leader": os.getsid(0) == os.getpid(), "group": os.getpgid(0) == os.getpid(), "umask": os.umask(0o22), "garbage": gc.get_threshold(),
    "main": [sys.modules["__main__"].__spec__.name, sys.modules["__main__"].__file__],
}))
atexit.register(print, "at the end", file=sys.stderr)
"""


def probe(folder: Path, action: str, fresh: bool, **more: Any) -> "subprocess.Popen[str]":
    """A program of a user's, which the command imports: it tells what it finds, and does this."""
    (folder / "probe.py").write_text(f"{PROBE}{action}\n")
    env = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(path for path in sys.path if path), "TZ": "Asia/Tokyo", "ODD": "\udcff"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [*HOLDFAST, "worker", "run", "probe:tasks", "--queues", "ü"]
    process = prefork.start(command, fresh=fresh, cwd=folder, env=env, text=True, **pipes, **more)
    assert isinstance(process, prefork._Forked) is not fresh
    return process


@pytest.mark.parametrize("new_session", [True, False])
def test_a_fork_begins_with_what_a_fresh_process_has(tmp_path, new_session):
    told = []
    for fresh in (True, False):
        process = probe(tmp_path, "sys.exit()", fresh, start_new_session=new_session)
        out, err = process.communicate("given", 60)
        assert (process.returncode, err) == (0, "at the end\n")
        told.append(json.loads(out))
    assert told[0]["stdin"] == "given"
    assert told[0]["leader"] is new_session
    assert told[1] == told[0]


ENDS = {
    "sys.exit(7)": 7,
    "sys.exit('in words')": 1,
    "os._exit(9)": 9,
    "raise KeyboardInterrupt": None,
    "raise MemoryError": None,
    "os.kill(os.getpid(), 9)": -9,
    "signal.signal(15, signal.SIG_DFL), os.kill(os.getpid(), 15)": -15,
    "sys.stdout.flush(), os.close(1), sys.stdout.write('lost'), sys.exit(0)": None,
    "threading.Thread(target=lambda: print('a thread goes on', file=sys.stderr)).start(), sys.exit(2)": 2,
}


@pytest.mark.parametrize("action", ENDS)
def test_a_fork_ends_as_a_fresh_process_does(tmp_path, action):
    ends = []
    for fresh in (True, False):
        process = probe(tmp_path, action, fresh)
        out, err = process.communicate("", 60)
        ends.append((process.returncode, bool(out), err.splitlines()[-1:]))
    assert ENDS[action] in (None, ends[0][0])
    assert ends[1] == ends[0]


def test_a_fork_is_waited_for_polled_and_signalled_as_any_process(tmp_path):
    process = probe(tmp_path, "", False)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGSTOP)
    process.kill()
    pidfd = os.pidfd_open(process.pid)  # it is a zombie at most until somebody asks how it ended
    until(lambda: process.poll() is not None, "it ends")
    os.close(pidfd)
    assert process.returncode == process.wait() == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    process.communicate()
    with pytest.raises(FileNotFoundError):
        prefork.start([*HOLDFAST, "--help"], cwd=tmp_path / "nowhere")


def test_the_processes_of_a_forked_server_are_those_of_a_fresh_one(tmp_path):
    seen = []
    for fresh in (True, False):
        server = Server(tmp_path / f"home{fresh}", "--fronts", "2", fresh=fresh).start()
        try:
            names = [command_line(pid).split(" {")[0].strip() for pid in server.pids()]
            seen.append((names, [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (server.keeper, server.pid)]))
            server.send(signal.SIGTERM)
            assert server.ended() == 0, server.err.text
            server.gone()
        finally:
            server.destroy()
    assert seen[1] == seen[0]
    assert len(seen[0][0]) == 3


TWO = """
import sys
from tests import prefork
process = prefork.start([sys.executable, "-m", "holdfast", "serve", "--port", "0", "--store", "memory"], start_new_session=True)
(parent,) = (warm.process.pid for warm in prefork._warm_parents.values())
print(parent, process.pid, flush=True)
sys.stdin.read()
"""


def test_the_warm_parent_ends_with_a_test_process_that_is_killed_and_its_servers_do_not():
    tests = subprocess.Popen(
        [sys.executable, "-c", TWO], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert tests.stdout is not None
    told = iter(tests.stdout.readline, b"")
    parent, server = map(int, next(told).split())
    pidfd = os.pidfd_open(parent)
    assert b"Holdfast" in next(told)
    tests.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    os.killpg(server, signal.SIGKILL)
    tests.communicate()


def test_a_program_that_cannot_be_imported_fails_the_start(monkeypatch):
    monkeypatch.setitem(prefork._IMAGES, "broken", ("holdfast.cli.jobs", "holdfast.no_such_module"))
    with pytest.raises(RuntimeError, match="no_such_module"):
        prefork._warm("broken", ())


def test_what_a_fork_cannot_have_is_started_fresh(tmp_path):
    other = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for more in ({"env": {**os.environ, "PYTHONHASHSEED": "1"}}, {"env": other}, {"umask": 0o77}, {"fresh": True}):
        done = prefork.start([*HOLDFAST, "--version"], stdout=subprocess.DEVNULL, **more)
        assert not isinstance(done, prefork._Forked)
        assert done.wait(60) == 0
