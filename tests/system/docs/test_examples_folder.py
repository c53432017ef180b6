"""The programs in `examples/`: each is run by its one command, prints what its page shows, and holds when something is missing."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from cluster.ports import free_port
from holdfast.client import Client
from holdfast.testing import LocalServer
from tests.system.docs.conftest import Running
from tests.system.docs.examples import check, environment, steps
from tests.system.docs.pages import ROOT, Block, block, blocks, read
from tests.system.whole.machine import cannot, tool_path

pytestmark = pytest.mark.long(25)

FOLDER = ROOT / "examples"
EXAMPLES = sorted(page.parent.name for page in FOLDER.glob("*/README.md"))
MAX_LINES = 25  # of the page of an example

Start = Callable[..., subprocess.Popen[str]]


def has_image_magick() -> bool:
    """`convert` may be another program, or a stand-in."""
    if tool_path("convert") is None:
        return False
    return "ImageMagick" in subprocess.run(["convert", "-version"], capture_output=True, text=True, check=False).stdout


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs of an example, in its folder, in a group that ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(example: str, *command: str | Path, url: str, **more: str) -> subprocess.Popen[str]:
        env = (
            environment()
            | {"HOLDFAST_URL": url, "OUT": str(tmp_path / "out" / example), "SMTP_PORT": str(free_port())}
            | {"API_PORT": str(free_port())}
            | more
        )
        process = subprocess.Popen(
            command,
            cwd=FOLDER / example,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def shown_by(example: str) -> Block:
    """What the page of an example shows below its one command."""
    ((command, shown),) = steps(blocks(read(f"examples/{example}/README.md")))
    assert command.text == "./run.sh"
    assert shown is not None
    return shown


def printed(process: subprocess.Popen[str], seconds: float = 60) -> str:
    """What it has printed when it ends, and it ends well."""
    out, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, out + said
    return out.strip()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Wait for such a line on standard error."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"it ended, and did not say {words!r}")


def loaded(path: Path) -> ModuleType:
    """A program of an example, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------ all of them


def test_each_example_is_one_command_that_prints_what_its_page_shows_and_the_index_says_how_to_clean_up(
    running: Running, start: Start
):
    examples = [example for example in EXAMPLES if example != "image-resizer" or has_image_magick()]
    shown = {example: shown_by(example) for example in examples}
    both = {example: start(example, "./run.sh", url=running.url) for example in examples}
    wrong = [f"{example}: {what}" for example in examples for what in check(shown[example], printed(both[example]))]
    assert not wrong
    again = start("mail-sender", "./run.sh", url=running.url)  # it finds what it left on the server
    assert not check(shown["mail-sender"], printed(again))
    with Client(running.url) as client:
        assert {queue.name.partition("-")[0] for queue in client.queues()} == {"example"}
        client.set_queue("example-images")  # which a machine without ImageMagick has not made
        commands = re.sub(r"^\$ ", "", block(read("examples/README.md"), "console"), flags=re.MULTILINE)
        printed(start("sign-up", "sh", "-euc", commands, url=running.url))
        assert [queue.name for queue in client.queues()] == []
        assert [*client.schedules(), *client.interests(), *client.budgets()] == []


def test_the_index_has_every_example_and_their_pages_are_short():
    assert set(EXAMPLES) == set(re.findall(r"\]\(([\w-]+)/README\.md\)", read("examples/README.md")))
    assert all(len(read(f"examples/{example}/README.md").splitlines()) <= MAX_LINES for example in EXAMPLES)


def test_without_a_server_an_example_starts_one_and_leaves_nothing_behind(start: Start, tmp_path: Path):
    port = free_port()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    example = start("mail-sender", "./run.sh", url=f"http://127.0.0.1:{port}", TMPDIR=str(scratch))
    assert not check(shown_by("mail-sender"), printed(example))
    with pytest.raises(ProcessLookupError):  # its group is empty: server and workers have ended
        os.killpg(example.pid, 0)
    assert list(scratch.iterdir()) == []


def test_without_holdfast_an_example_says_how_to_install_it(tmp_path: Path, start: Start):
    (tmp_path / "examples").mkdir()
    shutil.copytree(FOLDER / "sign-up", tmp_path / "examples/sign-up")
    shutil.copy(FOLDER / "beside-server.sh", tmp_path / "examples")
    example = start("sign-up", tmp_path / "examples/sign-up/run.sh", url="http://127.0.0.1:1", PATH="/usr/bin:/bin")
    assert "'make run' in the checkout" in example.communicate(timeout=30)[1]
    assert example.returncode == 1


def test_where_image_magick_is_missing_the_example_says_what_to_install(running: Running, start: Start, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/convert").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/convert").chmod(0o755)
    example = start("image-resizer", "./run.sh", url=running.url, PATH=f"{tmp_path / 'bin'}:{environment()['PATH']}")
    assert "apt install imagemagick" in example.communicate(timeout=30)[1]
    assert example.returncode == 1


def test_a_server_elsewhere_that_does_not_answer_is_named(start: Start):
    example = start("sign-up", "./run.sh", url=f"http://localhost:{free_port()}")
    _, said = example.communicate(timeout=30)
    assert example.returncode == 1
    assert "No server answers at http://localhost:" in said


# ------------------------------------------------------------------------------------------------ when something is missing


def test_mail_waits_for_a_mail_server_that_is_down_and_is_sent_once(running: Running, start: Start, tmp_path: Path):
    where = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free_port())}
    example = start("mail-sender", "./run.sh", url=running.url, **where)
    assert "Connection refused" in line_with(example, "failed:")
    mailbox = tmp_path / "mailbox"
    server = ("-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{where['SMTP_PORT']}", "-c", "aiosmtpd.handlers.Mailbox", mailbox)
    start("mail-sender", sys.executable, *server, url=running.url)
    out = printed(example)
    assert out.count("concluded, sent to") == 3
    assert "attempt 1 failed: 127.0.0.1:" in out

    assert printed(start("mail-sender", "./run.sh", url=running.url, **where)) == out
    mails = [mail.read_text() for mail in (mailbox / "new").iterdir()]
    ids = sorted(re.findall(r"^Message-ID: <(.+)>$", "\n".join(mails), re.MULTILINE))
    assert ids == [f"welcome-{number}@shop.example.org" for number in (1, 2, 3)]


def test_a_payload_that_is_no_mail_is_dead_at_once(holdfast: LocalServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", "1")
    module = loaded(FOLDER / "mail-sender/mail_worker.py")
    whole = {"message_id": "m@example.org", "to": "ada@example.org", "subject": "Hello", "text": ""}
    for payload in (None, {"to": "ada@example.org"}, whole | {"subject": "Hello\nBcc: all@example.org"}):
        holdfast.client.enqueue(module.QUEUE, payload, type="mail")
    holdfast.drain(module.worker)
    assert [(job.state, job.attempt) for job in holdfast.client.jobs(queue=module.QUEUE)] == [("dead", 1)] * 3


def test_a_name_that_leads_out_of_the_folder_is_refused_and_a_broken_picture_tried_once(
    running: Running, start: Start, tmp_path: Path
):
    if not has_image_magick():
        cannot("imagemagick is not installed")
    printed(start("image-resizer", "./run.sh", url=running.url))
    (tmp_path / "out/image-resizer/secret.png").write_bytes((tmp_path / "out/image-resizer/pictures/dawn.png").read_bytes())
    with Client(running.url) as client:
        (found,) = client.jobs(queue="example-images", state="dead")
        broken = client.job(found.id)
        assert (broken.attempt, broken.failures) == (1, 1)
        assert "exit code 65" in broken.errors[0].reason
        names = ["../secret.png", "png:dawn.png", "", "..png", "-version.png.gif"]
        ids = [client.enqueue("example-images", name.encode(), content_type="text/plain").id for name in names]
        folders = {"PICTURES": str(tmp_path / "out/image-resizer/pictures"), "SMALL": str(tmp_path / "out/image-resizer/small")}
        worker = ("holdfast", "worker", "exec", "--queue", "example-images", "--until-empty", "--", "./resize.sh")
        printed(start("image-resizer", *worker, url=running.url, **folders))
        assert [(client.job(id).state, client.job(id).attempt) for id in ids] == [("dead", 1)] * len(names)
    assert sorted(path.name for path in (tmp_path / "out/image-resizer/small").iterdir()) == ["dawn.png", "late.jpg"]


@pytest.mark.parametrize(("name", "programs", "code"), [
    ("whole.png", "", 0), ("broken.png", "", 65), ("cut.jpg", "", 65), ("", "", 65), ("late.png", "", 75), ("whole.png", "none", 75)
])  # fmt: skip
def test_the_exit_code_of_the_script_says_whether_another_try_may_help(name: str, programs: str, code: int, tmp_path: Path):
    if not has_image_magick():
        cannot("imagemagick is not installed")
    subprocess.run(["convert", "-size", "90x90", "plasma:", tmp_path / "whole.png"], check=True)
    subprocess.run(["convert", tmp_path / "whole.png", tmp_path / "whole.jpg"], check=True)
    (tmp_path / "broken.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:200])
    (tmp_path / "small").mkdir()
    env = {"PICTURES": str(tmp_path), "SMALL": str(tmp_path / "small"), "PATH": programs or os.environ["PATH"]}
    command = ["/bin/sh", "resize.sh"]
    done = subprocess.run(
        command, cwd=FOLDER / "image-resizer", input=name, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert [path.name for path in (tmp_path / "small").iterdir()] == ([name] if code == 0 else [])
    assert bool(done.stderr) == bool(code)


ORDER = """
import asyncio, time, httpx
from app import app

async def main():
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as shop:
        began = time.monotonic()
        answer = await shop.post("/orders", json={"item": "rope", "count": 2})
        print(answer.status_code, answer.headers["retry-after"], answer.json()["error"], time.monotonic() - began < 10)

asyncio.run(main())
"""


def test_an_application_without_a_server_answers_503_after_its_deadline_and_429_when_the_queue_is_full(
    running: Running, start: Start
):
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert printed(start("fastapi-app", sys.executable, "-c", ORDER, url=nowhere)) == "503 1 unreachable True"
    with Client(running.url) as client:
        client.set_queue("example-fastapi", capacity_jobs=0)
    assert re.fullmatch(r"429 \d+ queue_full True", printed(start("fastapi-app", sys.executable, "-c", ORDER, url=running.url)))


def test_a_429_of_the_api_holds_up_one_tenant_for_as_long_as_it_says_and_no_other(
    holdfast: LocalServer, start: Start, monkeypatch: pytest.MonkeyPatch
):
    port = str(free_port())
    api = start("rate-limited-tenants", sys.executable, "api.py", port, url=holdfast.url)
    assert api.stdout is not None
    api.stdout.readline()
    monkeypatch.setenv("API", f"http://127.0.0.1:{port}")
    module = loaded(FOLDER / "rate-limited-tenants/calls.py")
    holdfast.client.set_queue(module.QUEUE, fair=True)
    holdfast.client.set_budget(module.BUDGET, 10, per_ms=1_000, burst=5)
    acme, other = (holdfast.client.enqueue_many(module.calls_of(tenant, 2)) for tenant in ("acme", "bolt"))
    assert holdfast.drain(module.tasks.worker(concurrency=1)) == {"released": 1, "concluded": 2}
    assert {holdfast.client.job(receipt.id).state for receipt in other} == {"concluded"}
    assert {holdfast.client.why(receipt.id).reasons[0].code for receipt in acme} == {"waits_for_budget"}
    holdfast.advance(1)
    assert holdfast.drain(module.tasks.worker(concurrency=1)) == {"concluded": 2}
    assert [holdfast.client.job(receipt.id).failures for receipt in acme] == [0, 0]


def test_when_one_subscribers_worker_is_killed_the_others_go_on_and_its_copy_waits(running: Running, start: Start):
    with Client(running.url) as client:
        for queue in ("example-welcome-mail", "example-crm", "example-analytics"):
            client.set_interest(queue, {"^event$": "^userSignedUp$"})
        for program in ("welcome_mail.py", "analytics.py"):
            start("sign-up", sys.executable, program, url=running.url)
        killed = start("sign-up", sys.executable, "crm.py", url=running.url)
        client.result(client.enqueue("example-crm", {"user": 6, "name": "Bob"}).id, timeout_s=30)  # it works
        killed.kill()
        killed.wait()

        out = printed(start("sign-up", sys.executable, "sign_up.py", url=running.url, PATIENCE_S="2"))
        assert "example-analytics: counted user 7" in out
        assert "example-welcome-mail: wrote to ada@example.org" in out
        assert "example-crm: its copy waits." in out

        (copy,) = [job for job in client.jobs(queue="example-crm") if job.state != "concluded"]
        start("sign-up", sys.executable, "crm.py", url=running.url)
        assert client.result(copy.id, timeout_s=60)["contact"] == "C-7"


def test_the_nightly_report_comes_once_a_night_however_often_its_worker_starts(
    holdfast: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SHOP_DB", str(tmp_path / "shop.db"))
    monkeypatch.setenv("OUTBOX", str(tmp_path))
    subprocess.run([sys.executable, FOLDER / "nightly-report/make_orders.py", tmp_path / "shop.db"], check=True)
    module = loaded(FOLDER / "nightly-report/report_worker.py")
    for night in (1, 2):
        for _ in range(2):
            module.set_schedule(holdfast.client)
        (schedule,) = holdfast.client.schedules()
        assert schedule.fired == night - 1
        holdfast.advance(schedule.next_at - holdfast.now - timedelta(seconds=1))
        module.set_schedule(holdfast.client)
        assert holdfast.drain(module.worker) == {}
        holdfast.advance(1)
        module.set_schedule(holdfast.client)
        holdfast.advance(3600)
        assert holdfast.drain(module.worker) == {"concluded": 2}
    assert len(list(tmp_path.glob("sales-of-*.eml"))) == 2
    assert Counter(job.type for job in holdfast.client.jobs(queue=module.QUEUE)) == {"report": 2, "mail": 2}
