"""The page about this door: its transcript is what a reader gets, and the tests that it names are there."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[5]
PAGE = (ROOT / "docs" / "couchqueue.md").read_text(encoding="utf-8")
BETWEEN = "--- the next command ---"


def test_the_page_shows_what_is_printed(serve, tmp_path):
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", PAGE.split("```console\n")[1].split("```")[0], re.MULTILINE)
    server = serve(store="sqlite:///jobs.db")
    script = "".join(f"{command}\nprintf '\\n{BETWEEN}\\n'\n" for command, _ in steps)
    (tmp_path / ".curlrc").write_text('silent\nnoproxy = "*"\nmax-time = 20\n')
    run = subprocess.run(
        ["bash", "-eu", "-c", script.replace("http://127.0.0.1:4653", server.url)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert run.returncode == 0, run.stderr
    printed = [text.strip() for text in run.stdout.split(BETWEEN)]
    assert printed == [*(shown.strip() for _, shown in steps), ""]
