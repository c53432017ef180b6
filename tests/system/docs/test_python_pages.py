"""The Python of the guides is run: blocks that begin with a file's name are that file, the others are one session."""

import contextlib
import io
import signal
import subprocess
import sys

from tests.system.docs.conftest import Running
from tests.system.docs.examples import USUAL, environment, files, same_text
from tests.system.docs.pages import Block, blocks, read

PROGRAMS = ("worker.py", "handlers.py")


def python(page: str) -> tuple[dict[str, str], list[tuple[Block, Block | None]]]:
    """The files of a page, and the other blocks, each with what it prints."""
    named, session = files(blocks(read(page))), []
    for block in blocks(read(page)):
        if block.language == "python" and block.text not in named.values():
            session.append((block, None))
        elif block.language == "text" and session and session[-1][1] is None:
            session[-1] = (session[-1][0], block)
    return named, session


def test_the_guide_for_python_prints_what_it_shows(running: Running):
    programs_shown, session = python("docs/python.md")
    assert set(programs_shown) == set(PROGRAMS)
    assert len(session) > 8
    env = environment() | {"HOLDFAST_URL": running.url}
    programs = []
    try:
        for name, text in programs_shown.items():
            (running.folder / name).write_text(text)
            programs.append(subprocess.Popen([sys.executable, name], cwd=running.folder, env=env))
        wrong, names = [], {}
        for block, shown in session:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text.replace(USUAL, running.url), f"python.md:{block.line}", "exec"), names)
            if not same_text(shown.text if shown else "", printed.getvalue().strip()):
                wrong.append(f"python.md:{block.line} printed {printed.getvalue()!r}")
        assert not wrong
        names["client"].close()
        for program in programs:
            program.send_signal(signal.SIGTERM)
        assert [program.wait(40) for program in programs] == [0, 0]
    finally:
        for program in programs:
            program.kill()
            program.wait()


def test_the_guide_for_testing_passes_its_own_tests(tmp_path):
    shown, session = python("docs/testing.md")
    assert not session
    for name, text in shown.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -W error -p no:asyncio\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
