"""Runs the examples of a page as a reader would: its `sh` blocks in order, in one shell, and compares what they print with what the page shows.

The first `json` or `text` block between an `sh` block and the next one is what it prints. Values that differ from run to run are
compared by their form: instants, tokens, and milliseconds that are left. `…` in the page stands for anything.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import Block

USUAL = "http://127.0.0.1:4653"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TOKEN = re.compile(r"\d+\.\d+\.\d+\.[0-9a-f]{32}")
_SLOW_MS = 30_000  # how much later than on the page a machine may answer


def environment() -> dict[str, str]:
    """A reader's environment: the commands of this installation, and no settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
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


def run(scripts: list[str], folder: Path, url: str) -> list[str]:
    """What each script prints, all of them run by one shell that stops at the first failure."""
    mark = "--- the next block ---"
    whole = f"\necho; echo '{mark}'\n".join(scripts).replace(USUAL, url)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        input=whole,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return [text.strip() for text in done.stdout.split(mark)]


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
