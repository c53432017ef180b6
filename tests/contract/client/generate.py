"""Makes `holdfast.client.sync` from `holdfast.client.aio`: `make client`. A test holds the two equal.

What is not here has two versions written by hand: the HTTP library, and how to wait.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src/holdfast/client/aio"
TARGET = ROOT / "src/holdfast/client/sync"
BY_HAND = {"__init__.py", "transport.py", "pause.py"}
NAMES = {
    "aio": "sync",
    "AsyncCaller": "Caller",
    "AsyncClient": "Client",
    "AsyncTransport": "Transport",
    "AsyncRetrying": "Retrying",
    "aclose": "close",
}


def generate(target: Path) -> list[Path]:
    """Write the generated files into a folder."""
    sources = [path for path in sorted(SOURCE.glob("*.py")) if path.name not in BY_HAND]
    rule = unasync.Rule(str(SOURCE), str(target), additional_replacements=NAMES)
    unasync.unasync_files([str(path) for path in sources], [rule])
    made = [target / path.name for path in sources]
    for path in made:
        text = (
            path.read_text()
            .replace("async with AsyncClient", "with Client")
            .replace("async with client.", "with client.")
            .replace("await client.", "client.")
        )
        path.write_text(f"# Generated from client/aio/{path.name} by `make client`. Change that one.\n{text}")
    ruff = Path(sys.executable).with_name("ruff")
    settings = ["--config", str(ROOT / "pyproject.toml")]
    subprocess.run(
        [ruff, "check", "--quiet", "--fix-only", "--select", "I,F401,UP028", "--unsafe-fixes", *settings, *made], check=True
    )
    subprocess.run([ruff, "format", "--quiet", *settings, *made], check=True)
    return made


def differences() -> list[str]:
    """Which of the generated files are not what would be generated now."""
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
        return [
            path.name
            for path in made
            if not (TARGET / path.name).exists() or (TARGET / path.name).read_text() != path.read_text()
        ]


if __name__ == "__main__":
    generate(TARGET)
