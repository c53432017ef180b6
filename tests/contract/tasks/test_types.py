"""What type checkers say of calls: mypy, and pyright as basedpyright packs it, by its standard rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TYPED = Path(__file__).with_name("typed.py")
WRONG = {number for number, line in enumerate(TYPED.read_text().splitlines(), 1) if line.endswith("# wrong")}


def mypy(folder: Path) -> set[int]:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--output",
        "json",
        "--cache-dir",
        str(folder),
        "--config-file=",
        TYPED,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {found["line"] for line in said.splitlines() if (found := json.loads(line))["severity"] == "error"}


def pyright(folder: Path) -> set[int]:
    settings = {"include": [str(TYPED)], "typeCheckingMode": "standard", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {
        found["range"]["start"]["line"] + 1 for found in json.loads(said)["generalDiagnostics"] if found["severity"] == "error"
    }


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_wrong_calls_are_found_and_right_ones_are_not(checker, tmp_path: Path):
    assert len(WRONG) > 20
    assert checker(tmp_path) == WRONG
