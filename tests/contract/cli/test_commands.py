"""`holdfast --help`, `config` and wrong commands: what is told where, and with which exit code."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast import __version__
from holdfast.cli.entry import SERVER, main
from holdfast.config import Config

COMMANDS = (
    "serve",
    "config",
    "init",
    "check",
    "backup",
    "restore",
    "export",
    "import",
    "dev",
    "doctor",
    "move",
    "test-server",
    "upgrade",
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have some."""
    for variable in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(variable)


def run(*arguments: str | Path) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# Help


def test_the_command_is_installed_and_tells_its_version():
    said = subprocess.run([Path(sys.executable).with_name("holdfast"), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"holdfast, version {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_with_what_it_does(option):
    said = run(option)
    assert said.exit_code == 0
    for command in COMMANDS:
        (line,) = [line for line in said.stdout.splitlines() if line.strip().startswith(f"{command} ")]
        assert len(line.split()) > 2
    assert sorted(SERVER) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    said = run(command, "--help")
    assert said.exit_code == 0
    assert said.stdout.startswith("Usage: ")


@pytest.mark.parametrize("setting", fields(Config), ids=lambda setting: setting.name)
def test_the_help_of_serve_explains_every_setting_and_tells_its_default(setting):
    said = " ".join(run("serve", "--help").stdout.split())
    flag = f"--{setting.name.replace('_', '-')} "
    assert flag in said
    explained = said.partition(flag)[2]
    assert setting.metadata["help"].replace("-", "") in explained.replace("- ", "").replace("-", "")


# config


def test_config_prints_every_setting_with_its_origin(monkeypatch, tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text("size = 3\nport = 1")
    monkeypatch.setenv("HOLDFAST_PORT", "2")
    monkeypatch.setenv("HOLDFAST_DRAIN_S", "9")
    said = run("config", "--config", file, "--drain-s", "4")
    assert said.exit_code == 0
    lines = dict(line.split(" = ", 1) for line in said.stdout.splitlines())
    assert list(lines) == [setting.name for setting in fields(Config)]
    told = {name: line.split(" # ") for name, line in lines.items()}
    assert [(name, told[name][0].strip(), told[name][1]) for name in ("size", "port", "drain_s", "lease_ms")] == [
        ("size", "3", "file"),
        ("port", "2", "environment"),
        ("drain_s", "4", "flag"),
        ("lease_ms", "300000", "default"),
    ]


def test_config_as_json_is_json_alone_and_tells_what_was_set_from_what_was_not(monkeypatch):
    monkeypatch.setenv("HOLDFAST_PORT", "4653")
    monkeypatch.setenv("HOLDFAST_ALLOWED_HOSTS", "one.example, two.example")
    told = json.loads(run("config", "--json").stdout)
    assert list(told) == [setting.name for setting in fields(Config)]
    assert told["port"] == {"value": 4653, "origin": "environment"}
    assert told["allowed_hosts"] == {"value": ["one.example", "two.example"], "origin": "environment"}
    assert told["size"] == {"value": Config().size, "origin": "default"}


def test_the_config_file_can_be_named_in_the_environment(monkeypatch, tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text("port = 77")
    monkeypatch.setenv("HOLDFAST_CONFIG", str(file))
    assert json.loads(run("config", "--json").stdout)["port"] == {"value": 77, "origin": "file"}


def test_what_config_prints_can_be_the_config_file(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text(run("config", "--size", "5", "--allowed-hosts", "one.example").stdout)
    told = json.loads(run("config", "--json", "--config", file).stdout)
    assert {name: entry["origin"] for name, entry in told.items()} == dict.fromkeys(told, "file")
    assert (told["size"]["value"], told["allowed_hosts"]["value"]) == (5, ["one.example"])


# Wrong commands


@pytest.mark.parametrize("command", ["serve", "config"])
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--port", "65536"], ["--port", "65535"]),
        (["--port", "many"], ["--port", "many"]),
        (["--log-level", "loud"], ["--log-level", "debug"]),
        (["--store", "postgres://there"], ["--store", "sqlite:///PATH"]),
        (["--root-path", "jobs"], ["--root-path", "/"]),
        (["--no-such-flag"], ["--no-such-flag"]),
        (["--config", "missing.toml"], ["missing.toml"]),
    ],
    ids=lambda value: value[0],
)
def test_a_wrong_setting_is_named_with_what_would_be_right_and_nothing_is_started(command, arguments, names):
    said = run(command, *arguments)
    assert said.exit_code == 2
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    for name in names:
        assert name in said.stderr


def test_a_wrong_variable_is_named_in_one_line(monkeypatch):
    monkeypatch.setenv("HOLDFAST_LEASE_MS", "0")
    said = run("serve")
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr == "holdfast: HOLDFAST_LEASE_MS must be from 1 to 2592000000, not 0.\n"


def test_an_unknown_key_of_the_file_is_named_in_one_line(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text("prot = 80")
    said = run("serve", "--config", file)
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr.startswith(f"holdfast: {file} sets prot, which is not a setting.")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["check"], ["backup", "one.db"], ["check", "missing.db"], ["backup", "missing.db", "two.db"], ["check", "."]]
)
def test_a_file_that_is_not_there_is_a_wrong_command(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments)
    assert said.exit_code == 2
    assert said.stderr.startswith("Usage: ")
