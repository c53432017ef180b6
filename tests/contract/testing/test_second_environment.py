"""A program's tests in an environment without the server's packages: the server is a command of another environment."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from holdfast.client import Client
from holdfast.errors import QueueFull
from holdfast.testing import Command, RemoteServer
from tests.contract.client.test_installed_alone import server_packages
from tests.system.whole.servers import until

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
SITE = Path(sysconfig.get_path("purelib"))
TEST = """
import importlib.util
import holdfast
from holdfast.tasks import Tasks

tasks = Tasks(queue="mail")

@tasks.task
def send(n: int) -> int:
    return 2 * n

def test_there_is_no_server_here():
    assert importlib.util.find_spec("apsw") is None

def test_the_clock_is_moved(holdfast_server):
    sent = send.options(delay=60).enqueue(7)
    assert holdfast_server.drain(tasks.worker()) == {}
    before = holdfast_server.now
    holdfast_server.advance(60)
    assert (holdfast_server.now - before).total_seconds() == 60
    assert holdfast_server.drain(tasks.worker()) == {"concluded": 1}
    assert sent.result() == 14

def test_each_has_its_own(holdfast_server):
    assert list(holdfast.Client().jobs()) == []
"""


def needed(name: str) -> set[str]:
    """The distributions that this one needs, with itself."""
    found, wanted = set(), [name]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform or Python
        found.add(name)
        wanted += [re.match(r"[\w.-]+", each)[0] for each in requires if "extra ==" not in each]
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """A virtual environment with the client, its packages and pytest, and nothing of the server."""
    folder = tmp_path_factory.mktemp("second") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in needed("holdfast-queue") | needed("pytest"):
        for file in importlib.metadata.files(name) or []:
            top = SITE / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and top.exists() and not (site / top.name).exists():
                (site / top.name).symlink_to(top)
    assert not {path.name for path in site.iterdir()} & server_packages()
    return folder


def run(environment: Path, folder: Path, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_mail.py").write_text(TEST)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "PYTEST_", "PYTHON"))}
    command = [str(environment / "bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=kept | variables, capture_output=True, text=True, timeout=120, check=False)


def test_the_server_is_a_command_of_another_environment(environment, tmp_path):
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nholdfast_server = {HOLDFAST}\n")
    done = run(environment, tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_command_may_be_a_variable(environment, tmp_path):
    done = run(environment, tmp_path, HOLDFAST_TEST_SERVER=f"env {HOLDFAST}")
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_without_one_it_says_what_to_do(environment, tmp_path):
    done = run(environment, tmp_path)
    assert "1 passed, 2 errors" in done.stdout
    assert (
        "the fixture holdfast_server needs a server: install holdfast-queue[server], here or in an environment" in done.stdout
    )
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/no/such/holdfast", "/no/such/holdfast test-server can't be started: No such file"),
        ("echo hello", "echo hello test-server is no server for tests; it said: hello"),
        ("sh -c 'echo no apsw >&2; exit 1'", "it said: no apsw"),
    ],
)
def test_a_command_that_is_no_server(command, said):
    with pytest.raises(RuntimeError, match=said):
        Command(command)


def test_it_takes_settings_and_says_what_is_wrong_with_them():
    command = Command([HOLDFAST])
    with RemoteServer(command, size=1) as server:
        server.client.enqueue("q")
        with pytest.raises(QueueFull):
            server.client.enqueue("q")
    with pytest.raises(RuntimeError, match="sise"):
        RemoteServer(command, sise=1).start()
    with RemoteServer(command) as server:
        assert list(server.client.jobs()) == []
    command.close()


def test_it_ends_with_the_tests_that_are_killed(tmp_path):
    text = (
        "import os\nfrom holdfast.testing import Command, RemoteServer\n"
        f"command = Command({HOLDFAST!r})\nprint(RemoteServer(command).start().url, command._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    url, pid = done.stdout.split()
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2], "it has ended")
    with pytest.raises(Exception, match="refused"):
        Client(url, deadline_s=0.5).stats()
