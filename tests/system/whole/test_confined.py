"""A server under what the systemd unit and the container forbid: a read-only root, a user without rights, and the system calls of the unit's filter.

systemd itself is not run here: what its directives do is made by hand, and `systemd-analyze` judges the unit.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.docs.examples import environment
from tests.system.whole.machine import need, tool_path
from tests.system.whole.servers import Server

pytestmark = pytest.mark.fresh

ROOT = Path(__file__).resolve().parents[3]
UNIT = ROOT / "deploy/systemd/holdfast.service"
CONFINED = Path(__file__).with_name("confined.sh")
STRANGER = 10001  # the user of the container
INSTALLED = "/opt/holdfast/.venv/bin/holdfast"
EXPOSURE = 15  # tenths; systemd says that up to 20 is OK, 96 is a unit without a word about it
_CALL = re.compile(r"^\d+ +([a-z]\w*)\(", re.MULTILINE)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    need("systemd-analyze")
    command = [tool_path("systemd-analyze"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command of this installation."""
    path = tmp_path / "holdfast.service"
    text = UNIT.read_text()
    assert text.count(INSTALLED) == 2
    path.write_text(
        text.replace(INSTALLED, str(Path(sys.executable).with_name("holdfast"))).replace("User=holdfast", "User=daemon")
    )
    return path


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def allowed() -> set[str]:
    """The system calls that the unit's filter leaves."""
    found: set[str] = set()
    for line in directives("SystemCallFilter"):
        names = {call for one in line.removeprefix("~").split() for call in members(one)}
        found = found - names if line.startswith("~") else found | names
    return found


def members(name: str) -> set[str]:
    """A system call, or those of a set."""
    if not name.startswith("@"):
        return {name}
    lines = [line.strip() for line in analyze("syscall-filter", name).stdout.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in members(line)}


def test_systemd_understands_the_unit_and_finds_little_to_object_to(unit: Path):
    verified = analyze("verify", "--man=no", unit)
    assert not [line for line in (verified.stdout + verified.stderr).splitlines() if "holdfast" in line]
    judged = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", unit)
    assert judged.returncode == 0, judged.stdout


def test_the_unit_starts_what_it_means_to():
    (start,) = directives("ExecStart")
    command = [Path(sys.executable).with_name("holdfast"), "config", *start.split()[2:]]
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=True).stdout
    assert 'store = "sqlite:////var/lib/holdfast/jobs.db"' in told


def test_the_first_start_makes_a_secret_that_the_next_one_keeps(tmp_path: Path):
    (before,) = directives("ExecStartPre")
    script = before.removeprefix("/bin/sh -c '").removesuffix("'")
    assert script.count("/var/lib/holdfast") == 2
    script = script.replace(INSTALLED, str(Path(sys.executable).with_name("holdfast"))).replace(
        "/var/lib/holdfast", str(tmp_path)
    )
    secrets = []
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", script], env=environment(), timeout=60, check=True)
        secrets.append((tmp_path / "admin.key").read_text().strip())
    assert secrets[0].startswith("hf_")
    assert secrets[0] == secrets[1]


def test_a_server_needs_no_more_than_the_unit_leaves_it(tmp_path: Path, serve: Callable[..., Server]):
    """Read-only but for its folder, nobody, nothing of /proc but processes, no mapping that is written and run, no call that the filter forbids."""
    need("unshare", "setpriv", "strace", root=True)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest keeps its folders to its user
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, STRANGER, STRANGER)
    confined = ("unshare", "--mount", "sh", str(CONFINED), str(data), "strace", "-D", "-f", "-qq", "-o", str(data / "trace"))
    server = serve("--store", f"sqlite:///{data}/jobs.db", wrapper=confined)
    with server.client() as client:
        assert client.post("/v1/queues/mail/jobs", json={"payload": 1}).json()["durability"]["level"] == "disk"
        (job,) = client.post("/v1/leases", json={"queues": ["mail"]}).json()["jobs"]
        assert client.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).status_code == 200
        assert {client.get(path).status_code for path in ("/web", "/metrics", "/v1/stats", "/readyz")} == {200}
    assert {path.stat().st_uid for path in data.iterdir()} == {STRANGER}
    server.send(signal.SIGTERM, server.pid)
    server.gone()
    assert server.ended() == 0
    traced = (data / "trace").read_text()
    made = set(_CALL.findall(traced))
    assert {"fdatasync", "execve", "accept4"} <= made
    assert not made - allowed()
    assert not [line for line in traced.splitlines() if "PROT_WRITE|PROT_EXEC" in line]
