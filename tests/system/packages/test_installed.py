"""What is built is installed into clean environments, with what the index has today, and does there what it is for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import __version__
from tests.system.docs.examples import environment
from tests.system.docs.pages import read
from tests.system.packages.clean import Clean, can_be_had, interpreter
from tests.system.packages.packing import Built, ran

pytestmark = pytest.mark.long(40)

PROGRAMS = Path(__file__).parent / "programs"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
OF_THE_SERVER = {
    "apsw",
    "asyncpg",
    "uvloop",
    "structlog",
    "jinja2",
    "google-re2",
    "prometheus-client",
    "multipart",
    "websockets",
}
DONE = "sent to ada@example.org"


@pytest.fixture(scope="module")
def alone(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """The source archive without an extra: it is built where it is installed."""
    return Clean(tmp_path_factory.mktemp("alone"), Path(sys.executable), built.archive)


@pytest.fixture(scope="module")
def server(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """The wheel with the server."""
    return Clean(tmp_path_factory.mktemp("server"), Path(sys.executable), f"{built.wheel}[server]")


def test_without_an_extra_it_is_a_client_and_brings_nothing_of_the_server(alone: Clean, server: Clean):
    assert alone.packages() & (OF_THE_SERVER | {"rich"}) == set()
    assert alone.run("holdfast", "--version").strip() == f"holdfast, version {__version__}"
    place = alone.run("python", "-c", "import holdfast; print(holdfast.__file__)")
    assert Path(place).is_relative_to(alone.folder)
    with server.server() as url:
        assert alone.run("python", PROGRAMS / "client.py", url).strip() == DONE
        alone.run("holdfast", "job", "push", "--url", url, "mail")
        assert "mail" in alone.run("holdfast", "queue", "ls", "--url", url)


def test_the_wheel_brings_the_manual_pages_and_without_it_a_command_writes_those_that_are_there(
    alone: Clean, server: Clean, tmp_path: Path
):
    assert {"holdfast.1", "holdfast-job.1", "holdfast-serve.1"} <= {
        page.name for page in (server.bin.parent / "share/man/man1").iterdir()
    }
    alone.run("holdfast", "man", "--to", str(tmp_path / "man1"))
    written = {page.name for page in (tmp_path / "man1").iterdir()}
    assert {"holdfast.1", "holdfast-job.1"} <= written
    assert "holdfast-serve.1" not in written


def test_without_the_server_its_commands_say_how_to_get_it(alone: Clean):
    done = subprocess.run([alone.bin / "holdfast", "serve"], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "[server]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_extra_top_draws_the_live_page(built: Built, server: Clean, tmp_path: Path):
    top = Clean(tmp_path, Path(sys.executable), f"{built.wheel}[top]")
    assert "rich" in top.packages()
    assert top.packages() & OF_THE_SERVER == set()
    with server.server() as url:
        command = [
            "script",
            "--quiet",
            "--return",
            "--command",
            f"{top.bin}/holdfast top --every 100ms --url {url}",
            "/dev/null",
        ]
        page = subprocess.Popen(command, env=environment(), cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert page.stdin is not None
        assert page.stdout is not None
        shown = b""
        while b"sorted by backlog" not in shown:
            more = page.stdout.read1()
            assert more, shown
            shown += more
        said, _ = page.communicate(b"q", timeout=30)
        assert page.returncode == 0, said


@pytest.mark.parametrize("version", VERSIONS)
def test_with_the_server_it_serves_on_every_python_that_is_here(version: str, server: Clean, built: Built, tmp_path: Path):
    python = interpreter(version)
    if python is None:
        can_be_had(tmp_path, version, "x86_64")
        pytest.skip(f"NOT TESTED: Python {version} is not on this machine; all that the server needs can be had for it")
    there = server if python == Path(sys.executable) else Clean(tmp_path, python, f"{built.wheel}[server]")
    assert ran(there.bin / "python", "-V").startswith(f"Python {version}.")
    with there.server() as url:
        assert there.run("python", PROGRAMS / "client.py", url).strip() == DONE


@pytest.mark.parametrize("beside", [("fastapi", "uvicorn"), ("django",), ("celery",)], ids=lambda names: names[0])
def test_it_lives_beside_the_framework_of_the_program_that_uses_it(beside: tuple[str, ...], built: Built, tmp_path: Path):
    """In one environment, and in one process with its server: the newest releases agree on all that both need."""
    there = Clean(tmp_path, Path(sys.executable), f"{built.wheel}[server]", *beside)
    assert set(beside) < there.packages()
    answer, drained = there.run("python", PROGRAMS / f"beside_{beside[0]}.py").strip().splitlines()
    assert answer.replace("'", '"').replace(" ", "") == '{"job":1}'
    assert drained == "{'concluded': 1}"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_image_is_built_without_a_compiler_on_each_kind_of_machine(machine: str, tmp_path: Path):
    (version,) = set(re.findall(r"^FROM python:(3\.\d+)-slim-", read("deploy/Dockerfile"), re.MULTILINE))
    can_be_had(tmp_path, version, machine)
