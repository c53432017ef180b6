"""Which files become pages of the site, in which order, and how their links are made to fit.

The pages stay readable where they are, in a checkout: links between them are paths of the repository. On the site the pages of
`docs/` are at the top. A link to a file that is no page, such as a unit file, leads to a copy of it.
"""

import re
import shutil
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).resolve().parents[1]

# A page of the repository, and its path on the site, without its ending. Other pages of `docs/` keep their path below it.
PLACES = {
    "docs/README.md": "index",
    "docs/guides/README.md": "guides/index",
    "docs/adr/README.md": "adr/index",
    "README.md": "overview",
    "CHANGELOG.md": "changes",
    "CONTRIBUTING.md": "contributing",
    "changelog.d/README.md": "changelog-fragments",
    "SECURITY.md": "reporting-a-weakness",
    "deploy/README.md": "deploy",
    "examples/README.md": "examples/index",
    "examples/mail-sender/README.md": "examples/mail-sender",
    "examples/image-resizer/README.md": "examples/image-resizer",
    "examples/sign-up/README.md": "examples/sign-up",
    "examples/nightly-report/README.md": "examples/nightly-report",
    "examples/django-app/README.md": "examples/django-app",
    "examples/fastapi-app/README.md": "examples/fastapi-app",
    "examples/rate-limited-tenants/README.md": "examples/rate-limited-tenants",
    "bench/results/latest.md": "measured",
    "bench/results/postgresql.md": "measured-postgresql",
    "bench/results/lone.md": "measured-lone",
    "bench/results/python-peers.md": "measured-python-peers",
    "bench/results/torture.md": "measured-torture",
    "bench/results/fuzz.md": "measured-fuzz",
    "bench/results/screens.md": "measured-screens",
}
# A source from which a reference is made, and the reference on the site: pages link to what is in the repository.
MADE = {
    "src/holdfast/doors/rest/app.py": "reference/api",
    "src/holdfast/cli/entry.py": "reference/commands",
    "src/holdfast/config.py": "reference/settings",
    "src/holdfast/metrics.py": "reference/metrics",
    "src/holdfast/errors.py": "reference/errors",
    "src/holdfast/limits.py": "reference/limits",
}
# The side bar: the pages of each part, in this order. A page that is in none of them fails the build.
PARTS = {
    "Begin": ["overview", "choosing", "installing", "guides/first-job"],
    "Guides": [
        "guides/index", "guides/worker-in-python", "guides/django", "guides/fastapi", "guides/celery", "guides/dramatiq-and-taskiq", "guides/from-rq", "guides/from-sidekiq-faktory", "guides/from-a-shell",
        "guides/from-beanstalkd", "guides/on-a-network",
        "guides/behind-a-proxy", "guides/bounds", "guides/retries", "guides/new-kind-of-job", "guides/scheduling", "guides/rate-limits", "guides/one-noisy-tenant", "guides/newest-only", "guides/when-all-are-done", "guides/fan-out", "examples/index",
        "examples/mail-sender", "examples/image-resizer", "examples/sign-up", "examples/nightly-report", "examples/django-app", "examples/fastapi-app", "examples/rate-limited-tenants", "workers", "development", "testing", "transactional-enqueue",
    ],
    "Operate": ["operations", "upgrading", "runbook", "export", "postgresql", "managed-postgresql", "cluster", "deploy", "keys", "tls", "audit", "traces", "page", "checklist"],
    "Reference": [
        "protocol", "reference/api", "channel", "python", "tasks", "shell", "reference/commands", "configuration", "reference/settings", "reference/metrics",
        "reference/errors", "reference/limits", "beanstalkd", "dialects", "couchqueue", "glossary",
    ],
    "Explanation": [
        "reliability", "security", "measured", "measured-postgresql", "measured-lone", "measured-python-peers",
        "measured-torture", "measured-fuzz", "measured-screens", "ARCHITECTURE", "adr/index", "dependencies", "seeds",
    ],
    "Project": ["changes", "contributing", "changelog-fragments", "reporting-a-weakness"],
}  # fmt: skip
_FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def sources() -> dict[str, str]:
    """Every page of the repository, as path in it → path on the site."""
    found = {path.relative_to(ROOT).as_posix(): "" for path in sorted(ROOT.glob("docs/**/*.md"))} | PLACES
    return {path: place or path.removeprefix("docs/").removesuffix(".md") for path, place in found.items()}


def stage(folder: Path, made: dict[str, str]) -> dict[str, str]:
    """Write all pages, those of the repository and `made` ones, into an empty folder; place → text."""
    places = sources()
    pages = dict(made)
    for source, place in places.items():
        pages[place] = _fitted((ROOT / source).read_text(encoding="utf-8"), source, place, places, folder)
    pages["index"] += "\n" + _side_bar()
    for place, text in pages.items():
        target = folder / f"{place}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return pages


def _side_bar() -> str:
    parts = [f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n" + "\n".join(pages) + "\n```\n" for part, pages in PARTS.items()]
    decisions = "```{toctree}\n:hidden:\n:glob:\n\nadr/0*\n```\n"
    return "\n".join([*parts, decisions])


def _fitted(text: str, source: str, place: str, places: dict[str, str], folder: Path) -> str:
    """A page with links that fit its place on the site."""

    def fit(link: re.Match[str]) -> str:
        path, mark, anchor = link[2].partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return link[0]
        there = normpath(str(PurePosixPath(source).parent / path))
        if there in places or there in MADE:
            target = f"{(places | MADE)[there]}.md"
        else:
            if not (ROOT / there).exists():
                raise FileNotFoundError(f"{source}: the link to {link[2]} leads nowhere")
            target = there.removeprefix("docs/") if there.startswith("docs/") else f"files/{there}"
            if target.endswith(".md"):  # a page would have to be on the side bar
                target += ".txt"
            _copy(ROOT / there, folder / target)
        return f"{link[1]}{relpath(target, PurePosixPath(place).parent)}{mark}{anchor}{link[3]}"

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(fit, part) for part in parts)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        target.write_text("\n".join(names) + "\n", encoding="utf-8")  # a folder becomes a list of what is in it
    else:
        shutil.copyfile(source, target)
