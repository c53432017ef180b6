"""Named servers: a profile has the URL and the token of one, and the files of its TLS, in a file of the user's own.

    # ~/.config/holdfast/profiles.toml
    [prod]
    url = "https://jobs.example.org"
    token = "…"
    ca_file = "/etc/holdfast/ca.pem"            # these three for TLS
    client_cert = "/etc/holdfast/worker.pem"
    client_key = "/etc/holdfast/worker.key"

The more specific source wins: `--url` or `--profile`, else `HOLDFAST_URL`, else `HOLDFAST_PROFILE`. With a profile the token is
its own or that of `--token`: `HOLDFAST_TOKEN` is for another server. The same holds for the TLS files.
"""

import os
import stat
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from holdfast.cli.output import tell
from holdfast.client.tokens import Hidden

VARIABLES = ("HOLDFAST_URL", "HOLDFAST_TOKEN", "HOLDFAST_CA_FILE", "HOLDFAST_CLIENT_CERT", "HOLDFAST_CLIENT_KEY")
"""In the order of a profile's fields."""


class Profile(NamedTuple):
    """A server's URL, the token, and the PEM files of TLS. "" is "none, whatever the environment says"."""

    url: str | None
    token: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


def path() -> Path:
    """Where the file is: `HOLDFAST_PROFILES`, or below the user's folder for settings. Raises `ValueError` for a user without a folder."""
    if named := os.environ.get("HOLDFAST_PROFILES"):
        return Path(named)
    if settings := os.environ.get("XDG_CONFIG_HOME"):
        return Path(settings) / "holdfast" / "profiles.toml"
    try:
        return Path.home() / ".config" / "holdfast" / "profiles.toml"
    except RuntimeError:
        raise ValueError("this user has no home directory; HOLDFAST_PROFILES says where the file of profiles is") from None


def profiles() -> dict[str, Profile]:
    """All profiles; none without a file. Raises `ValueError` if the file is invalid."""
    file = path()
    try:
        said = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file} can't be read: {error}") from None
    found = {}
    for name, fields in said.items():
        if not isinstance(fields, dict) or "url" not in fields:
            raise ValueError(f"{file}: [{name}] must have a url")
        for field, value in fields.items():
            if field not in Profile._fields or not isinstance(value, str):
                known = ", ".join(Profile._fields)
                raise ValueError(f"{file}: {field} of [{name}] is not known; there are {known}, all texts")
        found[name] = Profile(**{field: Hidden(value) if field == "token" else value for field, value in fields.items()})
    return found


def _chosen(name: str) -> Profile:
    every = profiles()
    if name not in every:
        raise ValueError(f"there is no profile {name!r} in {path()}; there are {', '.join(every) or 'none'}")
    if every[name].token and path().stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        tell(f"holdfast: others can read the tokens in {path()}: chmod 600")
    return every[name]


def complete_profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Names that begin so; none where the file can't be read: a shell has no place for a message here."""
    try:
        return [CompletionItem(name, help=each.url) for name, each in profiles().items() if name.startswith(incomplete)]
    except ValueError:
        return []


def address(given: Profile, profile: str | None) -> Profile:
    """The server for a command, from its options and the environment; raises `ValueError`."""
    if given.url and profile:
        raise ValueError("--url and --profile both say where the server is; give one of them")
    if not (given.url or profile) and "HOLDFAST_URL" not in os.environ:
        profile = os.environ.get("HOLDFAST_PROFILE")
    if profile:
        named = _chosen(profile)
        return Profile(named.url, *(mine or its or "" for mine, its in zip(given[1:], named[1:], strict=True)))
    return Profile(*(mine or os.environ.get(variable) for mine, variable in zip(given, VARIABLES, strict=True)))
