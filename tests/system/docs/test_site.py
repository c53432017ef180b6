"""The site of the documentation: what `make docs` builds, and whether a reader finds the way in it."""

import html
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from holdfast import errors, limits
from holdfast.config import Config
from holdfast.doors.rest.app import ROUTES
from holdfast.http.problem import STATUS
from tests.system.docs.pages import ROOT, links, read
from website.pages import PARTS, sources

pytestmark = pytest.mark.long(30)

# What is asked most of a work queue, and a word that stands where the answer is.
QUESTIONS = {
    "decide whether": "replayed",
    "start a server": "make run",
    "install it": "pip install",
    "see whole programs": "./run.sh",
    "run functions in the background": "@worker.handler",
    "call tasks with typed arguments": "@tasks.task",
    "the tasks of a Django site": "holdfast_worker",
    "a FastAPI application": "aenqueue",
    "use it with asyncio": "AsyncClient",
    "run a shell script": "worker exec",
    "write a worker in another language": "/v1/leases",
    "keep my Celery project": "import holdfast.celery",
    "keep my beanstalkd client": "greenstalk",
    "from RQ": "depends_on",
    "from Sidekiq or Faktory": "LRANGE",
    "the word that Celery": "visibility timeout",
    "know that a job is kept": "outcome_unknown",
    "repeat a call without a second job": "Idempotency-Key",
    "in the transaction of my own database": "holdfast.enqueue(",
    "enqueue many jobs at once": "1,000",
    "later, or every night": "cron",
    "at most one such job": "unique_key",
    "one after the other": "group_key",
    "one event to many queues": "/v1/publish",
    "all of several jobs are done": "on_success",
    "share a queue fairly": "fair=true",
    "keep within a rate limit": "holdfast budget set",
    "drop what is too late": "--expires-in",
    "the result of a job": "result(",
    "why a job does not run": "/why",
    "retry what failed": "max_attempts",
    "find dead jobs": "retry",
    "a whole listing": "per_s",
    "an error code": "queue_full",
    "growing without end": "429",
    "let other machines in": "holdfast key create",
    "behind nginx or HAProxy": "proxy_pass",
    "back it up": "holdfast backup",
    "when an alert comes": "HoldfastQueueFull",
    "to an older version": "holdfast export",
    "be alerted": "alert",
    "follow one job": "traceparent",
    "as many workers as are needed": "KEDA",
    "deploy a new type of job": "--type crop",
    "upgrade it": "holdfast upgrade --check",
    "restart it without losing work": "SIGTERM",
    "the loss of a machine": "--replicas",
    "use a managed PostgreSQL": "--replicas 0",
    "from a file to PostgreSQL": "holdfast move",
    "who did what by hand": "/v1/audit",
    "change a setting": "HOLDFAST_CONFIG",
    "test my program": "pytest",
    "develop with a server": "holdfast dev",
}


WORDS = 68_000


def test_the_pages_have_few_words():
    """As `wc -w` counts, blocks included. A page that gets longer says a thing twice, or has to be cut; decisions are not counted."""
    words = {
        page.relative_to(ROOT).as_posix(): len(page.read_text(encoding="utf-8").split())
        for page in [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/*.md")]
    }
    assert len(words) > 30
    longest = sorted(words, key=lambda page: -words[page])[:5]
    assert sum(words.values()) < WORDS, f"{sum(words.values()):,} words; the longest: {longest}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "website", "--out", out], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def text_at(page: Path, anchor: str) -> str:
    """What a reader sees there: the section with this id, with those in it, or the whole page."""
    whole = page.read_text(encoding="utf-8")
    if anchor:
        whole = whole[whole.index(f'<section id="{anchor}">') :]
        depth = 0
        for tag in re.finditer(r"<(/?)section", whole):
            depth += -1 if tag[1] else 1
            if not depth:
                whole = whole[: tag.start()]
                break
    return html.unescape(re.sub(r"<[^>]+>", "", whole))


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_front_page_leads_to_the_answer_of_the_most_usual_questions(site: Path, question: str):
    front = (site / "index.html").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"<tr.*?</tr>", front, re.DOTALL) if question in html.unescape(row)]
    assert len(rows) == 1
    (link,) = re.findall(r'href="([^"]+)"', rows[0])
    path, _, anchor = link.partition("#")
    assert QUESTIONS[question] in text_at(site / path, anchor)


def test_every_question_of_the_front_page_is_held_to_its_answer():
    asked = [line for line in read("docs/README.md").splitlines() if line.startswith("| ") and line.rstrip(" |").endswith(")")]
    assert len(asked) == len(QUESTIONS) >= 30


def test_every_page_is_on_the_side_bar_once():
    placed = [place for places in PARTS.values() for place in places]
    assert len(placed) == len(set(placed))
    of_the_repository = {place for place in sources().values() if not place.startswith("adr/0")} - {"index"}
    assert of_the_repository == {place for place in placed if not place.startswith("reference/")}


def test_every_page_has_a_twin_in_markdown_that_is_listed(site: Path):
    listed = links((site / "llms.txt").read_text(encoding="utf-8"))
    assert {f"{place}.md" for places in PARTS.values() for place in places} == set(listed)
    for name in listed:
        assert (site / name).read_text(encoding="utf-8").lstrip().startswith("#")
        assert (site / name).with_suffix(".html").exists()
        for link in links((site / name).read_text(encoding="utf-8")):
            path = link.partition("#")[0]
            if path.endswith(".md") and "://" not in path:
                assert (site / name).parent.joinpath(path).exists(), f"{name}: {link}"


def test_the_references_have_every_route_code_setting_and_limit(site: Path):
    routes = (site / "reference" / "api.md").read_text(encoding="utf-8")
    for route in ROUTES:
        if route.tags:
            assert f"### {route.method} {route.path}\n" in routes
    codes = (site / "reference" / "errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)`", codes, re.MULTILINE)) == set(errors.BY_CODE) & set(STATUS) - {
        "error",
        "unavailable",
        "stale_interests",
    }
    settings = (site / "reference" / "settings.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", settings, re.MULTILINE) == [setting.name for setting in fields(Config)]
    told = dict(
        re.findall(r"^\| `(\w+)` \| ([\d.,]+) ", (site / "reference" / "limits.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    numbers = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)}
    assert {name: f"{value:,}" for name, value in numbers.items()} == told


RENDER = "import sys; from pathlib import Path; from website.render import render; a, b, c = map(Path, sys.argv[1:]); sys.exit(not render(a, b, c))"


@pytest.mark.parametrize(("anchor", "status"), [("one", 0), ("no-such-heading", 1)])
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, anchor: str, status: int):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text(f"# One\n\n[there](#{anchor})\n")
    command = [sys.executable, "-c", RENDER, pages, tmp_path / "trees", tmp_path / "out"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert ("no-such-heading" in done.stderr) == bool(status)
