"""Completion, in the shells themselves: each loads its script, and is asked what it would complete."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.contract.cli.shell import environment


@pytest.fixture(scope="module")
def place(tmp_path_factory, shared) -> Path:
    """A folder with a `holdfast` to be found by its name and the scripts of all shells."""
    folder = tmp_path_factory.mktemp("completion")
    env = environment(shared.url)
    for shell in ("bash", "zsh", "fish"):
        script = subprocess.run(["holdfast", "completion", shell], env=env, capture_output=True, check=True, timeout=60).stdout
        (folder / f"holdfast.{shell}").write_bytes(script)
    return folder


def ask(shell: list[str], place: Path, url: str) -> str:
    done = subprocess.run(
        shell, cwd=place, env=environment(url) | {"HOME": str(place)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "", done.stderr
    return done.stdout


def in_bash(line: str) -> str:
    words = line.split(" ")
    return f'COMPREPLY=(); COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _holdfast_completion holdfast; echo "${{COMPREPLY[@]}}";'


def test_bash_completes_commands_and_names(place, shared, witness, queue):
    witness.enqueue(f"{queue}-in-bash")
    script = "source holdfast.bash;" + in_bash(f"holdfast queue info {queue}-") + in_bash("holdfast job t")
    assert ask(["bash", "--norc", "-c", script], place, shared.url).split() == [f"{queue}-in-bash", "tail"]


def test_a_server_that_does_not_answer_has_no_names_and_leaves_no_message_in_the_line(place):
    script = "source holdfast.bash;" + in_bash("holdfast queue info q")
    assert ask(["bash", "--norc", "-c", script], place, "http://127.0.0.1:1") == "\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands_and_names(place, shared, witness, queue):
    witness.enqueue(f"{queue}-in-fish")
    script = f"source holdfast.fish; complete -C 'holdfast queue info {queue}-'; complete -C 'holdfast job t'"
    said = ask(["fish", "--no-config", "-c", script], place, shared.url)
    assert [line.partition("\t")[0] for line in said.splitlines()] == [f"{queue}-in-fish", "tail"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_commands_and_names(place, shared, witness, queue):
    """Its completion works only where somebody types: on a terminal."""
    witness.enqueue(f"{queue}-in-zsh")
    ours, theirs = pty.openpty()
    env = environment(shared.url) | {"HOME": str(place), "ZDOTDIR": str(place), "PS1": "> "}
    (place / ".zshrc").write_text("PS1='> '\nautoload -U compinit && compinit -u\nsource ./holdfast.zsh\nprint loaded\n")
    shell = subprocess.Popen(
        ["zsh", "-i"], cwd=place, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        heard(ours, "loaded")
        os.write(ours, f"holdfast queue info {queue}-\t".encode())
        heard(ours, f"{queue}-in-zsh")
        os.write(ours, b"\x15holdfast job t\t")
        heard(ours, "tail")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def heard(terminal: int, words: str) -> None:
    """Return once these words were shown."""
    shown, until = "", time.monotonic() + 30
    while words not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"{words!r} was not shown, but {shown!r}"
        shown += os.read(terminal, 65_536).decode(errors="replace")
