"""The environment of the Python peers: `build/peers`, with exactly what `requirements/peers.txt` names, checked by hash.

It is made, and made anew after a change of that file, when a run asks for peers; the project's own environment has only those that it has an extra for.
"""

import fcntl
import hashlib
import re
import subprocess
import sys

from bench.generator import ROOT

LOCK = ROOT / "requirements" / "peers.txt"
FOLDER = ROOT / "build" / "peers"
MADE_OF = ".made-of"
PACKAGES = ("celery", "django-tasks-db", "dramatiq", "huey", "pgqueuer", "procrastinate", "rq", "taskiq", "taskiq-redis")
TAIL = 500  # characters of what uv says


class Unavailable(Exception):
    """It could not be made; the message says why."""


def python() -> str:
    """The interpreter of the environment, which is made if it is not there. Raises `Unavailable`."""
    FOLDER.parent.mkdir(exist_ok=True)
    with (FOLDER.parent / "peers.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
        stamp = FOLDER / MADE_OF
        interpreter = FOLDER / "bin" / "python"
        if not stamp.exists() or stamp.read_text() != wanted:
            _uv("venv", "--clear", "--python", sys.executable, str(FOLDER))
            _uv("pip", "sync", "--require-hashes", "--python", str(interpreter), str(LOCK))
            stamp.write_text(wanted)
    return str(interpreter)


def versions() -> dict[str, str]:
    """The locked versions of the peers."""
    found = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK.read_text(), re.MULTILINE))
    return {f"{name} version": found[name] for name in PACKAGES}


def _uv(*arguments: str) -> None:
    said = subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], capture_output=True, text=True, check=False)
    if said.returncode:
        raise Unavailable(f"the packages of {LOCK.relative_to(ROOT)} can't be installed: {said.stderr.strip()[-TAIL:]}")
