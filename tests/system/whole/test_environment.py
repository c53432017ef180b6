"""What a server finds when it is started: signals at any moment, closed descriptors, other programs' variables, files that lie about."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.ports import free_port
from holdfast.stores.sqlite import maintenance
from tests.every_case import EVERY_CASE
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.servers import Server

pytestmark = [pytest.mark.long(60), pytest.mark.fresh]

# Signals


@pytest.mark.parametrize("numbers", [(15, 15), (2, 2), (15, 2), (15, 15, 15, 15)], ids=str)
@pytest.mark.parametrize("fronts", ["1", "2"])
def test_signals_that_come_together_are_one(serve, fronts, numbers):
    server = serve("--fronts", fronts)
    with server.client() as client:
        push(client, "q", 1)
    for number in numbers:
        server.send(signal.Signals(number))
    assert server.ended() == 0, server.err.text
    server.gone()
    assert "stopped at once" not in server.err.text
    assert maintenance.check(server.home / "holdfast-data/jobs.db") == []


@pytest.mark.parametrize(("fronts", "number"), [("1", signal.SIGTERM), ("1", signal.SIGINT), ("2", signal.SIGTERM)])
@pytest.mark.parametrize("part", range(3))
def test_a_signal_at_any_moment_of_the_start_ends_it(serving, tmp_path, part, fronts, number):
    for step in range(part, 24 if EVERY_CASE else 6, 3):
        after_s = random.uniform(step, step + 1) * (0.04 if EVERY_CASE else 0.16)
        server = serving("--fronts", fronts, at=tmp_path / f"home{step}").launch()
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline and not server.out.lines:  # the moment itself is what is tested
            time.sleep(0.001)
        server.send(number)
        code = server.ended()
        server.gone()
        before_its_first_line = code == -number or (number == signal.SIGINT and code == 1 and not server.pids())
        assert code == 0 or (before_its_first_line and not (server.home / "holdfast-data").exists()), (after_s, server.err.text)
        assert code != 0 or "Traceback" not in server.err.text


# Descriptors


CLOSED = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]


@pytest.mark.parametrize(
    ("closed", "fronts"),
    [
        pytest.param(closed, fronts, id=f"{closed}-{fronts}")
        for number, closed in enumerate(CLOSED)
        for turn, fronts in enumerate(["1", "2"])
        if EVERY_CASE or turn == number % 2
    ],
)
def test_closed_descriptors_are_opened_before_anything_else_takes_their_numbers(tmp_path, closed, fronts):
    from tests.system.whole.test_lost_output import answers, until  # noqa: PLC0415

    port = free_port()
    script = "import os, sys\nfor n in map(int, sys.argv[1].split(',')): os.close(n)\nos.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    server = ["-m", "holdfast", "serve", "--port", str(port), "--fronts", fronts, "--log-level", "debug"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, ",".join(map(str, closed)), *server],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        import httpx  # noqa: PLC0415

        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            until(lambda: answers(client), "it serves")
            for n in range(10):
                push(client, "q", n)
                (job,) = lease(client, "q")
                assert conclude(client, job).status_code == 200
        for number in (0, 1, 2):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path("/dev/null")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
    assert maintenance.check(tmp_path / "holdfast-data/jobs.db") == []


# Files that lie about

NAMES = (
    "queue",
    "logging",
    "msgspec",
    "structlog",
    "uvloop",
    "sqlite3",
    "asyncio",
    "json",
    "socket",
    "apsw",
    "typing",
    "click",
    "httptools",
    "multipart",
    "re2",
)


@pytest.mark.parametrize("fronts", ["1", "2"])
def test_nothing_is_imported_from_the_working_directory(serve, home, fronts):
    home.mkdir()
    trap = f"open({str(home / 'sprung')!r}, 'a').write(__name__ + '\\n')\nraise SystemExit('run from the working directory')\n"
    for name in NAMES:
        (home / f"{name}.py").write_text(trap)
    (home / "sitecustomize.py").write_text(trap)
    server = serve("--fronts", fronts)
    with server.client() as client:
        push(client, "q", 1)
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    assert not (home / "sprung").exists(), (home / "sprung").read_text()


# Variables of other programs

VARIABLES = {
    "WEB_CONCURRENCY": "auto",
    "FORWARDED_ALLOW_IPS": "*",
    "UVICORN_PORT": "x",
    "UVICORN_WORKERS": "many",
    "LITESTAR_DEBUG": "1",
    "LITESTAR_PDB": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
    "prometheus_multiproc_dir": "/nowhere",
    "PROMETHEUS_DISABLE_CREATED_SERIES": "x",
    "PYTHONWARNINGS": "error",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "ascii",
    "FORCE_COLOR": "1",
    "PORT": "80",
    "HOST": "nowhere.invalid",
    "DATABASE_URL": "postgresql://nowhere.invalid/x",
    "PGHOST": "nowhere.invalid",
    "LC_ALL": "C",
    "TZ": "Nowhere/Nothing",
    "SQLITE_TMPDIR": "/nowhere",
    "http_proxy": "http://nowhere.invalid:1",
}


@pytest.mark.parametrize("fronts", ["1", "2"])
def test_the_variables_of_other_programs_change_nothing(serve, fronts):
    server = serve("--fronts", fronts, env=VARIABLES)
    with server.client() as client:
        push(client, "q", 1)
        assert client.get("/metrics").status_code == 200
        assert client.get("/web").status_code == 200
        assert "Traceback" not in client.get("/v1/nowhere").text
    server.send(signal.SIGTERM)
    assert server.ended() == 0, server.err.text
    server.gone()
    assert "Traceback" not in server.err.text
    assert "\x1b[" not in server.err.text


# Where to listen

ANYWHERE = ["0.0.0.0", "::", "[::]"]
ON_LOOPBACK = [
    "127.0.0.1",
    "::1",
    "[::1]",
    "localhost",
    "LOCALHOST",
    "127.1",
    "0x7f.1",
    "2130706433",
    "127.000.000.002",
    "::ffff:127.0.0.1",
]
BAD_HOSTS = ["", "a b", "[::1]:80"]  # more of them in tests/unit/test_config.py


@pytest.mark.parametrize("host", ANYWHERE + ON_LOOPBACK)
def test_an_address_is_taken_as_people_write_it(serve, host):
    server: Server = serve("--host", host, *(["--insecure"] if host in ANYWHERE else []))
    url = server.url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    import httpx  # noqa: PLC0415

    assert httpx.get(f"{url}/v1/stats", trust_env=False).status_code == 200
    of_a_page = httpx.get(f"{url}/v1/stats", headers={"Host": f"evil.example:{server.port}"}, trust_env=False)
    assert of_a_page.status_code == (403 if host in ON_LOOPBACK else 200), (
        "on loopback, however that is written, pages of others stay out"
    )


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_what_is_no_address_is_refused_by_its_setting(serving, host, home):
    server = serving("--host", host).launch()
    assert server.ended() == 2
    assert server.err.text.startswith("holdfast: --host must be")
    assert "Traceback" not in server.err.text
    assert list(Path(home).iterdir()) == []
