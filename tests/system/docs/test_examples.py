"""What the pages show is what a reader gets."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.docs.conftest import Running
from tests.system.docs.examples import check, environment, files, run, steps
from tests.system.docs.pages import ROOT, block, blocks, read
from tests.system.docs.test_guides import GUIDES

pytestmark = pytest.mark.long(30)

RUN = (
    "README.md",
    "docs/protocol.md",
    "docs/audit.md",
    "docs/dialects.md",
    "docs/export.md",
    "docs/configuration.md",
    "docs/operations.md",
    "docs/upgrading.md",
    "docs/traces.md",
    "docs/shell.md",
    "docs/tasks.md",
    "docs/development.md",
)

RUNBOOK = "docs/runbook.md"
"""Its commands are given by `tests/system/whole/test_runbook.py`, each in the state that it is for."""


@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_print_what_it_shows(page: str, running: Running):
    examples = steps(blocks(read(page)))
    assert examples
    for name, text in files(blocks(read(page))).items():
        (running.folder / name).write_text(text + "\n")
    printed = run([script.text for script, _ in examples], running.folder, running.url, HOLDFAST_URL=running.url)
    wrong = [
        f"{page}:{script.line}: {line}"
        for (script, shown), text in zip(examples, printed, strict=True)
        if shown is not None
        for line in check(shown, text)
    ]
    assert not wrong, "\n  ".join(["", *wrong])


def test_every_sh_block_stands_on_a_page_whose_examples_are_run():
    pages = [page for page in ROOT.glob("docs/**/*.md") if any(block.language == "sh" for block in blocks(page.read_text()))]
    assert {page.relative_to(ROOT).as_posix() for page in pages} <= {*RUN, *GUIDES, RUNBOOK}


WORK = 'print("working on", job["id"], job["payload"], flush=True)'


@contextmanager
def working(running: Running, work: str = WORK, lease_ms: int = 60_000) -> Iterator["subprocess.Popen[str]"]:
    """The worker of the guide, perhaps with other work to do."""
    source = block(read("docs/workers.md"), "python")
    assert source.count(WORK) == 1
    assert source.count("LEASE_MS = 60_000") == 1
    script = running.folder / "worker.py"
    script.write_text(source.replace(WORK, work).replace("LEASE_MS = 60_000", f"LEASE_MS = {lease_ms}"))
    command = [sys.executable, script, running.url, "mail"]
    worker = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def ended(running: Running, job: int) -> dict[str, Any]:
    return get(running, f"/v1/jobs/{job}?wait_ms=30000")


def test_the_worker_of_the_guide_works_off_jobs_and_ends_in_good_order(running: Running):
    ids = [post(running, "/v1/queues/mail/jobs", {"payload": n})["id"] for n in range(3)]
    with working(running) as worker:
        assert [ended(running, job)["state"] for job in ids] == ["concluded"] * 3
        worker.send_signal(signal.SIGTERM)
        said, _ = worker.communicate(timeout=30)
        assert worker.returncode == 0
    assert said.splitlines() == [f"working on {job} {n}" for n, job in enumerate(ids)]


def test_the_worker_of_the_guide_reports_why_a_job_failed(running: Running):
    failing = post(running, "/v1/queues/mail/jobs", {"max_attempts": 1})["id"]
    with working(running, 'raise ValueError("out of paper")'):
        dead = ended(running, failing)
    assert (dead["state"], dead["reason"]) == ("dead", "attempts_exhausted")
    assert "ValueError: out of paper" in dead["errors"][0]["reason"]


def test_the_worker_of_the_guide_keeps_its_lease_while_it_works_for_longer(running: Running):
    job = post(running, "/v1/queues/mail/jobs", {})["id"]
    with working(running, "time.sleep(3)", lease_ms=1_000):
        done = ended(running, job)
    assert (done["state"], done["attempt"], done["crashes"]) == ("concluded", 1, 0)


def test_the_worker_of_the_guide_goes_on_after_a_lease_that_it_lost(running: Running):
    job = post(running, "/v1/queues/mail/jobs", {})["id"]
    with working(running, f"{WORK}; time.sleep(1)", lease_ms=500) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        worker.send_signal(signal.SIGSTOP)  # a machine that stood still
        until = time.monotonic() + 30
        while not get(running, f"/v1/jobs/{job}")["crashes"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        worker.send_signal(signal.SIGCONT)
        done = ended(running, job)
        worker.send_signal(signal.SIGTERM)
        said, _ = worker.communicate(timeout=30)
    assert (done["state"], done["attempt"], done["crashes"]) == ("concluded", 2, 1)
    assert "lease_lost" in said


def test_every_make_target_and_command_that_a_page_names_is_there():
    makefile = read("Makefile")
    targets = {
        target for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] for target in named(page.read_text(), "make")
    }
    assert {"run", "test"} <= targets
    assert not {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)}
    said = subprocess.run([sys.executable, "-m", "holdfast", "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^  ([a-z]+)  ", said.partition("Commands:")[2], re.MULTILINE))
    pages = "".join(page.read_text() for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    assert named(pages, "holdfast") <= commands
    assert commands <= named(pages, "holdfast")


def named(text: str, program: str) -> set[str]:
    """What stands behind a program's name where it is called: at the start of a line of a block, or of a code span."""
    return set(re.findall(rf"(?:`|^|\$ |/bin/){program} ([a-z]+)\b", text, re.MULTILINE))


def get(running: Running, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(running.url + path, timeout=60) as answer:
        return json.load(answer)


def post(running: Running, path: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(running.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
