"""Builds and runs the project's images with Podman and runc: the real engine, the real Dockerfile, on a Debian that is made here.

What is not real is the base. A registry is not asked: `FROM python:3.13-slim-trixie` finds an image of that name, made by mmdebstrap, with the Debian
release that the name says, the Python that Debian has for it (of the same minor version, at /usr/bin instead of /usr/local), and nothing else.

Images, containers and volumes lie in `build/containers`, apart from those of the machine; `make clean` removes them.
"""

import fcntl
import hashlib
import json
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.once import once
from tests.system.whole.machine import cannot, need, tool_path

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "deploy/Dockerfile"
PLACE = ROOT / "build/containers"
IMAGE = "localhost/holdfast:latest"
BUILT = "localhost/holdfast-build:latest"  # its first stage, kept so that the next build finds the layers of it
BARE = "localhost/debian:latest"
LABEL = "holdfast-test"  # the label of a container: the process that tests with it
_IN_BASE = "python3-venv,ca-certificates,netbase,tzdata"  # what is in the slim image beside its Python
_MINUTES = 10


def podman(*arguments: str | Path, check: bool = True, within_s: float = 60 * _MINUTES) -> subprocess.CompletedProcess[str]:
    """Run one command of it; raises with what it said, unless `check` is false."""
    done = subprocess.run(
        [tool_path("podman") or "podman", "--log-level=fatal", *map(str, arguments)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(
            f"podman {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def environment() -> dict[str, str]:
    """How Podman, and what calls it, finds its settings here."""
    return os.environ | {
        "CONTAINERS_CONF": str(PLACE / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(PLACE / "storage.conf"),
        "PATH": f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin",
    }


def _settle() -> None:
    """Write the settings: a storage of our own, and no systemd and no rights to raise a limit asked of the machine."""
    run = Path("/run") / f"holdfast-{hashlib.sha256(str(PLACE).encode()).hexdigest()[:12]}"  # short: sockets are made in it
    PLACE.mkdir(parents=True, exist_ok=True)
    _write("storage.conf", f'[storage]\ndriver = "overlay"\ngraphroot = "{PLACE}/storage"\nrunroot = "{run}/storage"\n')
    limits = ", ".join(
        f'"{name}={bound}:{bound}"'
        for name, number, usual in (("nofile", resource.RLIMIT_NOFILE, 1 << 20), ("nproc", resource.RLIMIT_NPROC, 1 << 15))
        for bound in [min(usual, resource.getrlimit(number)[1] % (1 << 63))]
    )
    _write(
        "containers.conf",
        f"[containers]\ndefault_ulimits = [{limits}]\n"
        f'[network]\nnetwork_config_dir = "{PLACE}/networks"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
        f'tmp_dir = "{run}/libpod"\n',
    )


def _write(name: str, text: str) -> None:
    """At once, or not at all: other processes read it meanwhile."""
    fresh = PLACE / f"{name}.{os.getpid()}"
    fresh.write_text(text)
    fresh.rename(PLACE / name)


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time makes images."""
    with (PLACE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build() -> str:
    """The image of the checkout, built as its Dockerfile says, once in a run; the name of it."""
    need("podman", "runc", "mmdebstrap", root=True)
    _settle()
    once("image", _build)
    return IMAGE


def _build(_: Path) -> None:
    with _alone():
        _remove_what_was_left()
        _make_base(_base())
        build_from(DOCKERFILE, ROOT, BUILT, target="build")
        build_from(DOCKERFILE, ROOT, IMAGE)
        podman("image", "prune", "--force")


# Steps run in a chroot; no registry is asked; and a health check is kept, for which OCI's own format has no place.
_BUILDING = ("build", "--layers", "--isolation", "chroot", "--pull-never", "--format", "docker")


def build_from(dockerfile: Path, context: Path, *names: str, target: str = "") -> None:
    """Build an image; pip trusts and asks whom it does on this machine."""
    host = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    options = [word for path in host for word in ("--volume", f"{path}:{path}:ro")]
    options += [word for name in names for word in ("--tag", name)] + (["--target", target] if target else [])
    podman(*_BUILDING, *options, "--file", dockerfile, context)


def made(name: str, steps: str) -> None:
    """Have an image of this name: the base, and these steps of a Dockerfile."""
    if podman("image", "exists", name, check=False).returncode:
        file = PLACE / "steps.Dockerfile"
        file.write_text(f"FROM {_base()}\n{steps}\n")
        build_from(file, PLACE / "networks", name)  # any small folder


def _remove_what_was_left() -> None:
    """Containers of test runs that did not end as they should."""
    for line in podman("ps", "--all", "--format", f'{{{{.ID}}}} {{{{index .Labels "{LABEL}"}}}}').stdout.splitlines():
        name, _, pid = line.partition(" ")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            podman("rm", "--force", "--time=0", "--volumes", "--depend", name)


def _base() -> str:
    """What the Dockerfile begins with, in both of its stages."""
    (name,) = {line.split()[1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("FROM ")}
    return name


def _make_base(name: str) -> None:
    """Have an image of this name, `python:MINOR-slim-RELEASE`."""
    full = f"docker.io/library/{name}"
    if podman("image", "exists", full, check=False).returncode == 0:
        return
    named = re.fullmatch(r"python:(3\.\d+)-slim-([a-z]+)", name)
    assert named is not None, f"{name} says no version of Python, or no release of Debian"
    minor, release = named.groups()
    root = PLACE / f"{release}.tar"
    command = [tool_path("mmdebstrap") or "mmdebstrap", "--variant=minbase", f"--include={_IN_BASE}", release, root]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
    if made.returncode:
        cannot(f"Debian's packages can't be had: {made.stderr[-1000:]}")
    podman("import", root, BARE)
    root.unlink()
    file = PLACE / "base.Dockerfile"
    file.write_text(f"FROM {BARE}\nRUN python{minor} --version && ln -s /usr/bin/python3 /usr/local/bin/python\n")
    build_from(file, PLACE / "networks", full)


class Container:
    """One container; it goes with `remove`."""

    def __init__(self, *options: str, image: str = IMAGE, command: tuple[str, ...] = ()) -> None:
        self.id = podman("run", "--detach", "--label", f"{LABEL}={os.getpid()}", *options, image, *command).stdout.strip()

    def inspect(self, what: str) -> Any:
        """A part of what Podman knows of it, such as `.State`."""
        return json.loads(podman("inspect", "--format", f"{{{{json {what}}}}}", self.id).stdout)

    def execute(self, *command: str, check: bool = True, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return podman("exec", *(["--user", user] if user else []), self.id, *command, check=check)

    @property
    def log(self) -> str:
        """What it said, on both streams."""
        said = podman("logs", self.id)
        return said.stdout + said.stderr

    @property
    def pid(self) -> int:
        """Its process 1, as the machine counts."""
        found: int = self.inspect(".State.Pid")
        return found

    def address(self) -> str:
        """Where its port is on this machine."""
        return f"http://{podman('port', self.id, '4653').stdout.strip()}"

    def ended(self) -> int:
        """The exit code, once it has ended."""
        return int(podman("wait", self.id, within_s=60).stdout)

    def remove(self) -> None:
        """It and the volumes that have no name."""
        podman("rm", "--force", "--time=0", "--volumes", self.id)
