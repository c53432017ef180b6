"""Links lead somewhere, and what the pages say agrees with what the program has."""

import importlib
import json
import re
import urllib.request
from dataclasses import fields
from pathlib import Path

import pytest

from holdfast import errors
from holdfast.config import DIALECTS, Config
from holdfast.http.problem import STATUS
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.messages import events
from tests.system.docs.conftest import Running
from tests.system.docs.pages import PAGES, ROOT, anchors, blocks, links, read, rows, spans
from website import reference

SOURCE = ROOT / "src" / "holdfast"
NEVER_SENT = {"error", "unavailable", "stale_interests"}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# ------------------------------------------------------------------------------------------------------------ links


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path):
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = (page.parent / path).resolve() if path else page
        there = target.exists() and target.is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken


OF_OTHERS = ("docs/choosing.md", "docs/guides/from-rq.md", "docs/guides/from-sidekiq-faktory.md")


@pytest.mark.parametrize("page", OF_OTHERS)
def test_what_is_said_of_another_product_is_linked_and_dated(page: str):
    """A date stands behind each link to somebody else's page, before the next one."""
    behind = re.split(r"\]\(https://[^)\s]+\)", read(page))[1:]
    assert len(behind) > 2
    assert not [text[:40] for text in behind if not re.search(r"\b20\d\d-\d\d-\d\d\b", text.partition("\n")[0])]


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text()) if "://" not in link]
    assert not {name(page) for page in ROOT.glob("docs/**/*.md")} - {name(page) for page in reached}


# ------------------------------------------------------------------------------------------------- the wire protocol


def test_every_route_that_the_server_describes_is_in_the_protocol_with_its_method(running: Running):
    with urllib.request.urlopen(f"{running.url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    protocol = read("docs/protocol.md")
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    unknown = {route for route in routes if not re.search(re.escape(route) + r"(?![\w/{])", protocol)}
    assert not unknown
    named = set(re.findall(r"\b((?:GET|PUT|POST|PATCH|DELETE) /[\w/{}-]+)", protocol))
    assert not named - routes


def test_every_route_of_every_dialect_is_on_their_page_and_no_other():
    dialects = {name: importlib.import_module(f"holdfast.doors.dialects.{name}.routes").DIALECT for name in DIALECTS}
    served = {
        f"{route.method} {route.path}" for dialect in dialects.values() for route in dialect.routes if route.method != "HEAD"
    }
    assert served == set(
        re.findall(r"`((?:GET|PUT|POST|PATCH|DELETE) /[\w/{}]*)`", read("docs/dialects.md") + read("docs/couchqueue.md"))
    )


def test_the_table_of_errors_has_every_code_with_its_status():
    table = {}
    for row in rows(read("docs/protocol.md").partition("## Errors")[2].partition("## The job")[0]):
        if len(row) == 4 and row[1].isdigit():
            table[row[0].strip("`")] = int(row[1])
    assert table == {code: status for code, status in STATUS.items() if code not in NEVER_SENT}
    assert set(errors.BY_CODE) <= set(STATUS)


def test_codes_that_are_never_sent_are_named_as_such():
    text = read("docs/protocol.md")
    sentence = text[text.index("are never sent") - 60 : text.index("routed again")]
    assert set(re.findall(r"`(\w+)`", sentence)) >= NEVER_SENT


def test_every_field_of_an_answer_and_every_event_is_in_the_protocol(running: Running):
    with urllib.request.urlopen(f"{running.url}/openapi.json") as answer:
        schemas = json.load(answer)["components"]["schemas"]
    words = set(re.findall(r"\w+", " ".join(spans(read("docs/protocol.md")))))
    names = {field for schema in schemas.values() for field in schema.get("properties", ())}
    verbs = {value for key, value in vars(events).items() if key.isupper() and isinstance(value, str)}
    states = {state.value for state in State}
    unknown = sorted((names | verbs | states | set(QueueSettings.__struct_fields__)) - words)
    assert not unknown


def test_a_metric_that_a_page_names_is_one_that_the_server_has():
    made = set(re.findall(r"^\| `(holdfast_\w+)`", reference.metrics(), re.MULTILINE))
    assert {"holdfast_tls_reloads_total", "holdfast_replicas_in_sync", "holdfast_beanstalk_clients"} <= made
    pages = [page for page in PAGES if page.name != "CHANGELOG.md" and page.parent.name != "adr"]
    spoken = "\n".join(span for page in pages for span in spans(page.read_text()))
    used = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bholdfast_\w+", spoken)}
    assert len(used) > 30
    assert not used - made - {"holdfast_server", "holdfast_worker"}  # a fixture of tests, a command of Django's


# ------------------------------------------------------------------------------------------------------------ settings


def test_the_page_of_settings_has_every_setting_once_and_no_other():
    text = read("docs/configuration.md").partition("| about | keys |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", text)) == sorted(setting.name for setting in fields(Config))


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_the_reference_has_a_setting_with_its_flag_variable_default_and_bounds(setting):
    table = {row[0].strip("`"): row for row in rows(reference.settings())}
    _, flag, variable, default, bounds, words = table[setting.name]
    assert f"`--{setting.name.replace('_', '-')}`" in flag
    assert variable == f"`HOLDFAST_{setting.name.upper()}`"
    shown = {True: "true", False: "false"}.get(setting.default) if isinstance(setting.default, bool) else setting.default
    shown = ",".join(shown) if isinstance(shown, tuple) else shown
    assert default == (f"`{shown}`" if shown != "" else "")
    meta = setting.metadata
    if "low" in meta:
        assert bounds == f"{meta['low']:,} to {meta['high']:,}"
    if "choices" in meta:
        assert all(f"`{choice}`" in bounds for choice in meta["choices"])
    assert words.replace("\\|", "|").replace("&lt;", "<") == meta["help"]


# -------------------------------------------------------------------------------------------------------- architecture


def test_every_file_that_a_page_about_the_code_names_is_there():
    pages = [
        ROOT / "docs/ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/adr/*.md"),
        ROOT / "docs/dependencies.md",
    ]
    gone = {
        f"{name(page)}: {span}"
        for page in pages
        for span in spans(page.read_text())
        if re.fullmatch(r"[\w./-]+(\.(py|sql|md|toml|txt)|/)", span)
        and not (SOURCE / span).exists()
        and not (ROOT / span).exists()
    }
    gone -= {"docs/adr/README.md: bench/results/latest.md", "CONTRIBUTING.md: dist/"}  # the last is built
    assert not gone


def test_every_test_that_the_page_about_security_names_is_there():
    there = [path.as_posix() for path in ROOT.glob("tests/**/*.py")]
    named = {span for span in spans(read("docs/security.md")) if re.search(r"(?:^|/)(?:test_\w+|corpus)\.py$", span)}
    assert len(named) > 30
    assert not {span for span in named if not any(path.endswith(f"/{span}") for path in there)}


def test_every_step_of_the_trace_is_there_and_none_of_it_is_private():
    """A page names what other files may use, so that whoever renames the inside of a file need not look for it in pages."""
    steps = [row for row in rows(read("docs/ARCHITECTURE.md")) if len(row) == 3 and re.fullmatch(r"`[\w/]+\.py`", row[0])]
    assert len(steps) > 20
    gone = []
    for where, names, _ in steps:
        source = (SOURCE / where.strip("`")).read_text()
        found = re.findall(r"`(\w+)`", names)
        assert found, where
        gone += [
            f"{where}: {name}" for name in found if not re.search(rf"^ *(?:async def|def|class) {name}\b", source, re.MULTILINE)
        ]
    assert not gone
    pages = ("docs/ARCHITECTURE.md", "docs/glossary.md", "CONTRIBUTING.md")
    private = [f"{page}: {span}" for page in pages for span in spans(read(page)) if re.match(r"(?:\w+\.)?_[a-z]", span)]
    assert not private


def test_there_are_few_words_and_each_has_one_meaning():
    listed = [row[:2] for row in rows(read("docs/glossary.md")) if row[0] != "word" and not row[0].startswith("-")]
    glossary = dict(listed)
    assert 20 < len(listed) <= 30
    assert len(glossary) == len(listed), "a word stands twice"
    words = rows(read("docs/ARCHITECTURE.md").partition("## Words")[2].partition("\n## ")[0])
    of_code = {row[0]: row[1] for row in words if len(row) == 2 and row[0] not in ("word", "---")}
    assert 5 < len(of_code) <= 30
    assert not [word for word, meaning in of_code.items() if glossary.get(word, meaning) != meaning]


SEARCHED = (
    "heartbeat",
    "backpressure",
    "audit log",
    "middleware",
    "prefetch",
    "visibility timeout",
    "dead letter",
    "group commit",
)


@pytest.mark.parametrize("word", SEARCHED)
def test_a_word_that_people_search_for_leads_to_a_file(word: str):
    where = rows(read("docs/ARCHITECTURE.md").partition("## Where to look")[2])
    leads = [row[1] for row in where if word in row[0]]
    assert leads
    assert all(re.search(r"`[\w/]+\.py`", lead) for lead in leads)


def test_every_decision_is_in_the_index_and_has_its_parts():
    index = links(read("docs/adr/README.md"))
    decisions = sorted(page for page in (ROOT / "docs/adr").glob("*.md") if page.name != "README.md")
    assert [page.name for page in decisions] == [link for link in index if re.match(r"\d{4}-", link)]
    for number, page in enumerate(decisions, 1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Evidence", "Consequences"], page.name
        assert text.startswith(f"# {number}. ")


def test_every_dependency_is_on_its_page_with_its_bound():
    project = re.search(r"^dependencies = \[(.*?)^\]", read("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert project
    table = {row[0].strip("`"): row[1].strip("`") for row in rows(read("docs/dependencies.md")) if len(row) == 5}
    extras = re.findall(
        r"^\w+ = \[\n(.*?)^\]", read("pyproject.toml").partition("[project.optional-dependencies]")[2], re.MULTILINE | re.DOTALL
    )
    wanted = dict(re.findall(r'^ +"([\w-]+)([^"]*)"', project[1] + extras[0], re.MULTILINE))
    assert {"aiohttp", "httptools"} <= set(wanted)
    assert {package: table.get(package) for package in wanted} == wanted
    dev = re.search(r"^dev = \[(.*?)^\]", read("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert dev
    assert not set(re.findall(r'^ +"([\w-]+)[^"]*"', dev[1], re.MULTILINE)) - spans(read("docs/dependencies.md"))


def test_the_verb_that_is_shown_stands_in_the_code_line_by_line():
    (shown,) = [block.text for block in blocks(read("CONTRIBUTING.md")) if block.text.startswith("# messages/")]
    name, lines = "", 0
    for line in shown.splitlines():
        if heading := re.match(r"# (\w+/[\w/]+\.py): ", line):
            name = heading[1]
            continue
        code = re.sub(r" {2,}# .*", "", line)
        if code.strip() in ("", "…"):
            continue
        assert code in read(f"src/holdfast/{name}").splitlines(), f"{name} has no line {code!r}"
        lines += 1
    assert lines > 10
