"""A real Chromium before a real server: Playwright drives Debian's browser. Where there is none, the tests are skipped and say so; with CI=true they fail.

Whatever a screen says on the console, whatever it loads from elsewhere, and whatever the content security policy stops, fails the test.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser
from tests.system.whole.servers import Server

CHROMIUM = shutil.which("chromium")
# Each window would load pages of the address bar in a process of their own, which takes longer than what is tested. The last `--disable-features` counts,
# so all that Playwright turns off for the sake of tests is here, too.
UNUSED = [
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
]
FLAGS = [
    f"--disable-features={','.join(UNUSED)}",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
WITHIN_MS = 20_000  # on a machine that has other things to do
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser that the tests of a file share; each test has contexts of its own.

    It ends with the file: while it is open, an event loop runs in this thread, and no test after it could run its own.
    """
    if CHROMIUM is None:
        missing = "chromium is not installed (apt-get install chromium)"
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium) -> Iterator[Callable[..., Any]]:
    """Opens pages: `look(url)`; at phone width, in dark, without scripts where it is asked for."""
    said: list[str] = []
    with ExitStack() as stack:

        def open_page(
            url: str, *, phone: bool = False, dark: bool = False, scripts: bool = True, zone: str = "UTC", prepare: Any = None
        ) -> Any:
            context = chromium.new_context(
                viewport=PHONE if phone else DESKTOP,
                color_scheme="dark" if dark else "light",
                java_script_enabled=scripts,
                has_touch=phone,
                timezone_id=zone,
            )
            context.set_default_timeout(WITHIN_MS)
            stack.callback(context.close)
            page = context.new_page()
            home = "/".join(url.split("/")[:3])
            page.on(
                "console",
                lambda message: said.append(f"console: {message.text}") if message.type in ("error", "warning") else None,
            )
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on(
                "request",
                lambda request: (
                    None if request.url.startswith((home, "data:", "blob:")) else said.append(f"asked {request.url}")
                ),
            )
            page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            if prepare is not None:
                prepare(page)
            page.goto(url)
            return page

        open_page.said = said  # type: ignore[attr-defined]
        yield open_page
    assert not said, said


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a file."""
    with serving(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Browser]:
    """Sets the scene through the API."""
    one = Browser(server.url)
    yield one
    one.http.close()


def offences(page: Any, rules: list[str] | None = None) -> list[str]:
    """What axe finds wrong with an open page: by all rules, or by these alone."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    found = page.evaluate("only => axe.run(document, {runOnly: only, resultTypes: ['violations']})", only)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]


def too_wide(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
