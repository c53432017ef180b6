"""Makes the pictures of the main screens for the documentation: `python -m tests.system.browser.screenshots`, into docs/images.

A server of its own is filled with an everyday scene and watched for a while, so that its history has something to draw.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser
from tests.system.browser.conftest import CHROMIUM, DESKTOP, FLAGS, PHONE
from tests.system.browser.scenes import everyday

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


def shoot(page: Any, name: str, path: str) -> None:
    """One picture of what is to be seen at once."""
    page.goto(path)
    page.wait_for_load_state("load")
    page.wait_for_timeout(700)  # until the plots and the payload are there
    picture = TARGET / f"{name}.png"
    page.screenshot(path=picture)
    if convert := shutil.which("convert"):  # a palette takes a third of the bytes
        subprocess.run([convert, picture, "-dither", "None", "-colors", "200", f"PNG8:{picture}"], check=True, timeout=60)


def main() -> None:
    """Fill, let work go on for a while, take the pictures."""
    TARGET.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        serving(Path(folder) / "home", store="sqlite:///jobs.db") as server,
    ):
        api = Browser(server.url)
        everyday(api)
        (shown,) = api.put(
            "orders", {"file": "orders-2026-11.csv", "rows": 18_204}, type="import", tags=["monthly"], max_attempts=5
        )
        threads = [threading.Thread(target=one, args=(server.url, over)) for one in (work, live_through)]
        for one in threads:
            one.start()
        try:
            over.wait(WORKED_S)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                home = f"{server.url}/web"
                light = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
                dark = browser.new_context(viewport=DESKTOP, color_scheme="dark").new_page()
                phone = browser.new_context(viewport=PHONE, color_scheme="light").new_page()
                shoot(light, "overview", home)
                shoot(dark, "queue", f"{home}/queues/mail")
                shoot(light, "job", f"{home}/jobs/{shown}")
                shoot(light, "failures", f"{home}/failures")
                shoot(dark, "jobs", f"{home}/jobs?queue=imports")
                shoot(phone, "phone", home)
                browser.close()
        finally:
            over.set()
            for one in threads:
                one.join()
            api.http.close()
    sys.stdout.write("\n".join(str(path) for path in sorted(TARGET.glob("*.png"))) + "\n")


if __name__ == "__main__":
    main()
