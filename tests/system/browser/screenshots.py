"""Makes the pictures of the main screens for the documentation: `python -m tests.system.browser.screenshots`, into docs/images.

A server of its own is filled with an everyday scene and watched for a while, so that its history has something to draw. Before, the same with the
last release, into docs/images/before, for the comparison in docs/page.md.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser
from tests.system.browser.conftest import CHROMIUM, DESKTOP, FLAGS, PHONE
from tests.system.browser.scenes import morning
from tests.system.upgrade.released import LAST, Released

TARGET = Path(__file__).parents[3] / "docs" / "images"
WORKED_S = 150.0  # fifteen steps of the history


def work(url: str, over: threading.Event) -> None:
    """Producers and workers that come and go, for the plots."""
    api = Browser(url)
    for turn in itertools.count():
        if over.wait(0.5):
            break
        api.put("mail", {"to": "ada@example.org"}, count=20 + 15 * (turn // 20 % 3), type="welcome")
        for job in api.lease("mail", 25 + 10 * (turn // 15 % 3), "mailer-1"):
            api.end("conclude", job, result={"sent": True})
        api.put("images", {"image": turn}, count=2, type="resize")
        for job in api.lease("images", 2, "resizer-2"):
            if turn % 7 == 3:
                api.end("fail", job, reason="could not read image 17: unexpected end of file", delay_ms=3_600_000)
            else:
                api.end("conclude", job)
    api.http.close()


def live_through(url: str, over: threading.Event) -> None:
    """One job that fails, loses its worker and is done at last, so that its life can be shown."""
    api = Browser(url)
    for seconds, worker, reason in (
        (12, "importer-1", "connection to 10.0.0.9:5432 refused"),
        (15, "importer-2", ""),
        (25, "importer-3", None),
    ):
        lease = {"queues": ["orders"], "worker": worker, "wait_ms": 50_000, "lease_ms": 15_000 if reason == "" else 60_000}
        (job,) = api.http.post("/v1/leases", json=lease).json()["jobs"]
        over.wait(seconds)
        if reason:
            api.end("fail", job, reason=reason, delay_ms=18_000)
        elif reason is None:
            api.end("conclude", job, result={"rows": 18_204, "skipped": 3})
    api.http.close()


def shoot(page: Any, picture: Path, path: str) -> None:
    """One picture of what is to be seen at once."""
    page.goto(path)
    page.wait_for_load_state("load")
    page.wait_for_timeout(700)  # until the plots and the payload are there
    page.screenshot(path=picture)
    if convert := shutil.which("convert"):  # a palette takes a third of the bytes
        subprocess.run([convert, picture, "-dither", "None", "-colors", "128", f"PNG8:{picture}"], check=True, timeout=60)


@contextmanager
def lived(folder: Path, env: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server that has worked for a while; gives what is to be seen of it, by the names of the pictures."""
    over = threading.Event()
    with serving(folder, store="sqlite:///jobs.db", env=env) as server:
        api = Browser(server.url)
        morning(api)
        (shown,) = api.put(
            "orders", {"file": "orders-2026-11.csv", "rows": 18_204}, type="import", tags=["monthly"], max_attempts=5
        )
        threads = [threading.Thread(target=one, args=(server.url, over)) for one in (work, live_through)]
        for one in threads:
            one.start()
        try:
            over.wait(WORKED_S)
            home = f"{server.url}/web"
            yield {
                "overview": home,
                "queue": f"{home}/queues/mail",
                "jobs": f"{home}/jobs?queue=imports",
                "job": f"{home}/jobs/{shown}",
                "failures": f"{home}/failures",
                "workers": f"{home}/workers",
                "phone": home,
            }
        finally:
            over.set()
            for one in threads:
                one.join()
            api.http.close()


def main() -> None:
    """The same for the last release and for this tree, one after the other."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, sync_playwright() as playwright:
        assert LAST is not None, "nothing to compare with was released"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        light = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
        phone = browser.new_context(viewport=PHONE, color_scheme="dark").new_page()
        for target, env in ((TARGET / "before", Released(LAST, Path(folder) / "released").env), (TARGET, {})):
            target.mkdir(parents=True, exist_ok=True)
            with lived(Path(folder) / target.name, env) as shown:
                for name, path in shown.items():
                    shoot(phone if name == "phone" else light, target / f"{name}.png", path)
        browser.close()
    sys.stdout.write("\n".join(str(path) for path in sorted(TARGET.rglob("*.png"))) + "\n")


if __name__ == "__main__":
    main()
