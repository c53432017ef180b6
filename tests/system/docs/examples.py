"""Runs the examples of a page as a reader would: its `sh` blocks in order, in one shell, and compares what they print with what the page shows.

The first `json` or `text` block between an `sh` block and the next one is what it prints. Values that differ from run to run are
compared by their form: instants, tokens, and milliseconds that are left. `…` in the page stands for anything.

A block that begins with a comment that is a file's name, such as `# worker.py`, is that file, and lies in the folder from the start.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system.docs.pages import Block

USUAL = "http://127.0.0.1:4653"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TOKEN = re.compile(r"\d+\.\d+\.\d+\.[0-9a-f]{32}")
_NAMED = re.compile(r"# (\w+\.\w+)\n")
_SLOW_MS = 30_000  # how much later than on the page a machine may answer


def environment() -> dict[str, str]:
    """A reader's environment: the commands of this installation, and no settings, nor what `make` tells those that it starts."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DJANGO_", "MAKE", "MFLAGS"))
    }
    return clean | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def steps(page: list[Block]) -> list[tuple[Block, Block | None]]:
    """Each `sh` block with the block that shows what it prints."""
    found: list[tuple[Block, Block | None]] = []
    for block in page:
        if block.language == "sh":
            found.append((block, None))
        elif block.language in ("json", "text") and found and found[-1][1] is None:
            found[-1] = (found[-1][0], block)
    return found


def files(page: list[Block]) -> dict[str, str]:
    """The blocks that are files, by their names."""
    return {found[1]: block.text for block in page if (found := _NAMED.match(block.text))}


def run(scripts: list[str], folder: Path, url: str, **more: str) -> list[str]:
    """What each script prints, all of them run by one shell that stops at the first failure; `more` is added to its environment.

    What they leave running in the background ends with the shell.
    """
    mark = "--- the next block ---"
    (folder / ".script").write_text(f"\necho; echo '{mark}'\n".join(scripts).replace(USUAL, url))
    with (folder / ".printed").open("w") as printed, (folder / ".said").open("w") as said:
        shell = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", ".script"],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            cwd=folder,
            env=environment() | more,
            start_new_session=True,
        )
        try:
            code = shell.wait(200)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    text = (folder / ".printed").read_text()
    assert code == 0, f"exit code {code}\n{text}\n{(folder / '.said').read_text()}"
    return [part.strip() for part in text.split(mark)]


def same_text(shown: str, printed: str) -> bool:
    return re.fullmatch(".*?".join(map(re.escape, shown.split("…"))), printed, re.DOTALL) is not None


def documents(text: str) -> list[Any]:
    """One JSON document after the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def differences(shown: Any, printed: Any, at: str = "$") -> list[str]:
    """Where what was printed is not what the page shows."""
    name = at.rpartition(".")[2]
    if isinstance(shown, dict) and isinstance(printed, dict):
        missing = [f"{at}.{key} is only on the page" for key in shown.keys() - printed.keys()]
        more = [f"{at}.{key} is not on the page" for key in printed.keys() - shown.keys()]
        both = [key for key in shown if key in printed]
        return missing + more + [line for key in both for line in differences(shown[key], printed[key], f"{at}.{key}")]
    if isinstance(shown, list) and isinstance(printed, list) and len(shown) == len(printed):
        return [line for n, pair in enumerate(zip(shown, printed, strict=True)) for line in differences(*pair, f"{at}[{n}]")]
    if isinstance(shown, str) and isinstance(printed, str):
        if name == "at" or name.endswith("_at"):
            same = bool(_INSTANT.fullmatch(shown) and _INSTANT.fullmatch(printed))
        elif name == "token":
            same = bool(_TOKEN.fullmatch(shown) and _TOKEN.fullmatch(printed))
        else:
            same = same_text(shown, printed)
    elif name == "ms_left":
        same = shown - _SLOW_MS <= printed <= shown
    else:
        same = type(shown) is type(printed) and shown == printed
    return [] if same else [f"{at}: the page shows {shown!r}, printed was {printed!r}"]


def check(shown: Block, printed: str) -> list[str]:
    """What is wrong with one example."""
    if shown.language == "text":
        return [] if same_text(shown.text, printed) else [f"the page shows\n{shown.text}\nprinted was\n{printed}"]
    return differences(documents(shown.text), documents(printed))
