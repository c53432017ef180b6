"""Named servers: which one a command talks to, and as whom."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from holdfast.cli.entry import main


class Asked(http.server.HTTPServer):
    """Answers each request with an empty list of queues, and keeps who asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.tokens: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Asked)
        self.server.tokens.append(self.headers["Authorization"])
        body = b'{"queues": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def listening() -> Iterator[list[Asked]]:
    servers = [Asked() for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def places(listening: list[Asked]) -> list[Asked]:
    for server in listening:
        server.tokens.clear()
    return listening


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., Result]:
    for name in ("URL", "TOKEN", "PROFILE"):
        monkeypatch.delenv(f"HOLDFAST_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return lambda *args, **env: CliRunner().invoke(main, args, env=env, prog_name="holdfast")


@pytest.fixture
def written(places, tmp_path):
    """A file with two profiles: one with a token, one without."""
    file = tmp_path / "holdfast" / "profiles.toml"
    file.parent.mkdir()
    file.write_text(f'[prod]\nurl = "{places[0].url}"\ntoken = "of-prod"\n\n[test]\nurl = "{places[1].url}"\n')
    file.chmod(0o600)
    return file


LS = ("queue", "ls")
MINE = {"HOLDFAST_TOKEN": "of-the-variable"}


@pytest.mark.parametrize(
    ("args", "env", "asked"),
    [
        (["--profile", "prod"], {}, ["Bearer of-prod", None]),
        (["--profile", "prod"], MINE, ["Bearer of-prod", None]),
        (["--profile", "prod", "--token", "given"], MINE, ["Bearer given", None]),
        (["--profile", "test"], MINE, [None, "none"]),
        ([], {"HOLDFAST_PROFILE": "prod"}, ["Bearer of-prod", None]),
        ([], {"HOLDFAST_PROFILE": "prod", "HOLDFAST_URL": "second"} | MINE, [None, "Bearer of-the-variable"]),
        (["--profile", "prod"], {"HOLDFAST_URL": "second"} | MINE, ["Bearer of-prod", None]),
        (["--url", "second"], {"HOLDFAST_PROFILE": "prod"}, [None, "none"]),
    ],
    ids=str,
)
def test_what_is_nearer_to_the_command_says_where_and_as_whom(run, written, places, args, env, asked):
    def named(words):
        return places[1].url if words == "second" else words

    done = run(*LS, *map(named, args), **{name: named(value) for name, value in env.items()})
    assert (done.exit_code, done.stderr) == (0, "")
    wanted = [[] if who is None else [None if who == "none" else who] for who in asked]
    assert [place.tokens for place in places] == wanted


def test_profiles_are_listed_without_their_tokens(run, written, places):
    done = run("profile", "ls", HOLDFAST_PROFILE="test")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["PROFILE", "URL", "TOKEN", "USED"],
        ["prod", places[0].url, "yes"],
        ["test", places[1].url, "-", "HOLDFAST_PROFILE"],
    ]
    assert "of-prod" not in run("profile", "ls", "--json").stdout


def test_without_a_file_there_are_none(run, tmp_path):
    done = run("profile", "ls")
    assert (done.exit_code, done.stdout) == (0, "")
    assert str(tmp_path / "holdfast" / "profiles.toml") in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[prod", "can't be read"),
        ('[prod]\ntoken = "x"\n', "[prod] must have a url"),
        ('[prod]\nurl = "http://x"\ncolour = "red"\n', "colour of [prod] is not known"),
        ("[prod]\nurl = 7\n", "url of [prod] is not known; there are url, token, ca_file, client_cert, client_key, all texts"),
        ('[other]\nurl = "http://x"\n', "there is no profile 'prod' in"),
    ],
)
def test_a_file_that_says_something_else_is_told_with_its_place(run, written, text, words):
    written.write_text(text)
    done = run(*LS, "--profile", "prod")
    assert done.exit_code == 2
    assert words in done.stderr
    assert str(written) in done.stderr


def test_url_and_profile_together_are_refused(run, written):
    assert "give one of them" in run(*LS, "--profile", "prod", "--url", "http://x").stderr


def test_tokens_that_others_can_read_are_told(run, written):
    written.chmod(0o644)
    done = run(*LS, "--profile", "prod")
    assert done.exit_code == 0
    assert "chmod 600" in done.stderr
    assert run(*LS, "--profile", "test").stderr == "", "there is no token to read"


def test_names_of_profiles_are_completed(run, written):
    said = run(_HOLDFAST_COMPLETE="bash_complete", COMP_WORDS="holdfast queue ls --profile p", COMP_CWORD="4")
    assert said.stdout == "plain,prod\n"


def test_a_program_that_a_worker_runs_gets_the_address_of_the_profile(shared, witness, queue, tmp_path, holdfast):
    (tmp_path / "profiles.toml").write_text(f'[here]\nurl = "{shared.url}"\n')
    job = witness.enqueue(queue).id
    ran = holdfast(
        "worker", "exec", "--profile", "here", "--queue", queue, "--until-empty", "--result", "--",
        "sh", "-c", 'echo "$HOLDFAST_URL ${HOLDFAST_TOKEN:-none}"',
        HOLDFAST_URL="http://127.0.0.1:1", HOLDFAST_TOKEN="of-another", HOLDFAST_PROFILES=str(tmp_path / "profiles.toml"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.dumps(witness.result(job, 5)) == f'"{shared.url} none\\n"'
