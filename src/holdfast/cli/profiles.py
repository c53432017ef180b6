"""Named servers: a profile has the URL and the token of one, in a file of the user's own.

    # ~/.config/holdfast/profiles.toml
    [prod]
    url = "https://jobs.example.org"
    token = "…"

What is nearer to the command wins: `--url` or `--profile`, else `HOLDFAST_URL`, else `HOLDFAST_PROFILE`. With a profile the token is its own or
that of `--token`: what is in `HOLDFAST_TOKEN` is for another server.
"""

import os
import stat
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from holdfast.cli.output import tell

_NAMES = ("url", "token")


class Profile(NamedTuple):
    """Where a server is, and who asks."""

    url: str
    token: str | None = None


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
    """All of them; none without a file. Raises `ValueError` where the file says something else."""
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
            if field not in _NAMES or not isinstance(value, str):
                raise ValueError(f"{file}: {field} of [{name}] is not known; there are url and token, both texts")
        found[name] = Profile(**fields)
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


def address(url: str | None, token: str | None, profile: str | None) -> tuple[str | None, str | None]:
    """URL and token, from what was given with the command and what the environment says; raises `ValueError`."""
    if url and profile:
        raise ValueError("--url and --profile both say where the server is; give one of them")
    if not (url or profile) and "HOLDFAST_URL" not in os.environ:
        profile = os.environ.get("HOLDFAST_PROFILE")
    if profile:
        place = _chosen(profile)
        return place.url, token or place.token or ""
    return url or os.environ.get("HOLDFAST_URL"), token or os.environ.get("HOLDFAST_TOKEN")
