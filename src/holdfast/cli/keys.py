"""`holdfast key …`: manages access keys, through the API or directly in the store."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from holdfast.auth import keys as rules
from holdfast.cli.context import (
    CommandClient,
    Duration,
    Verbs,
    addressed,
    confirmed,
    destroying,
    examples,
    refusals,
    show,
    whole,
)
from holdfast.cli.output import say, tell
from holdfast.cli.profiles import Profile
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client.key_types import AccessKey

if TYPE_CHECKING:
    from holdfast.messages.frame import Answer, Command

_DEADLINE_S = 60.0
_COLUMNS = {
    "NAME": lambda key: key.name,
    "CAN": lambda key: ",".join(key.abilities),
    "QUEUES": lambda key: ",".join(key.queues),
    "EXPIRES": lambda key: instant(key.expires_at) if key.expires_at else "never",
    "USED": lambda key: instant(key.used_at) if key.used_at else "-",
}


class Keys:
    """Where keys are changed: through the API of a server, or in a store."""

    def __init__(self, store: str | None, place: Profile) -> None:
        self.store = store
        self._place = place

    def client(self) -> CommandClient:
        """A client of the server."""
        return CommandClient(**self._place._asdict(), deadline_s=_DEADLINE_S)

    def all(self) -> list[AccessKey]:
        """All keys."""
        if self.store is None:
            with self.client() as client:
                return client.keys()
        from holdfast.cli import key_store  # noqa: PLC0415  (it needs the server)

        return [key_store.shown(key) for key in key_store.listed(self.store)]

    def one(self, name: str) -> AccessKey:
        """One key by its id or its name."""
        keys = self.all()
        found = next((key for key in keys if key.id == name), None) or next((key for key in keys if key.name == name), None)
        if found is None:
            raise rules.no_such_key(name)
        return found

    def in_store(self, command: "Command[Answer]", secret: str | None = None) -> AccessKey:
        """Run a command on the store; its answer."""
        from holdfast.cli import key_store  # noqa: PLC0415
        from holdfast.messages.key_commands import KeyAnswer  # noqa: PLC0415

        assert self.store is not None, "called only with a store"
        answer = key_store.ask(self.store, command)
        assert isinstance(answer, KeyAnswer), "the answer of all these commands"
        return key_store.shown(answer.key, secret)


def _placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--store` and `--json`, and pass it the `Keys` to change as its first argument."""

    @addressed
    @click.option("--store", help="Change the store itself: sqlite:///PATH or postgresql://USER@HOST/DATABASE.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per line.")
    @wraps(command)
    def run(place: Profile, store: str | None, **given: Any) -> None:
        if store and any(click.get_current_context().params[name] for name in ("url", "token", "profile")):
            raise click.UsageError(
                "--store names a store, and --url, --token and --profile name a server; give only one of the two"
            )
        is_local = store is None and not (place.url or place.token)
        with refusals():
            command(Keys(_store_here() if is_local else store, place), **given)

    return run


def _store_here() -> str | None:
    """The store of this machine, if no server is named: the one that `holdfast serve` would use here, if it exists."""
    if named := os.environ.get("HOLDFAST_STORE"):
        return named
    try:
        from holdfast.config import Config  # noqa: PLC0415  (the server may not be installed)
    except ImportError:
        return None
    path = Config().store_path()
    return Config().store if path is not None and path.exists() else None


@click.group("key", cls=Verbs)
def commands() -> None:
    """Manage access keys: who may do what, on which queues.

    With --token (or HOLDFAST_TOKEN), --url or --profile they are changed through the API of a server, which needs a key with
    the ability admin. With --store, or with none of these on the machine of a store, they are changed in the store itself,
    whether a server runs or not.
    """


@commands.command(
    epilog=examples(
        "holdfast key create --name root --can admin",
        "holdfast key create --name ci --can produce,consume --queues 'emails.*' --expires 90d",
        "holdfast key create --name board --can read --hide-payloads",
    )
)
@click.option("--name", required=True, help="Its name; no other key may have it.")
@click.option("--can", required=True, help="What it may do, comma-separated: produce, publish, consume, read, manage, admin.")
@click.option(
    "--queues",
    default="*",
    show_default=True,
    help="Queues it sees, comma-separated: names, prefixes such as 'emails.*', or *.",
)
@click.option(
    "--expires", "expires_ms", type=Duration(), help="How long it is valid, such as 90d.  [default: until it is revoked]"
)
@click.option("--hide-payloads", is_flag=True, help="It sees no payloads, results or texts of errors.")
@click.option("--note", default="", help="For people to read.")
@click.option("--requests-per-s", type=click.IntRange(1), help="Max requests a second, per front process.")
@click.option("--parked", type=click.IntRange(1), help="Max long polls, streams and connections, per front process.")
@_placed
def create(keys: Keys, name: str, can: str, queues: str, as_json: bool, hide_payloads: bool, **given: Any) -> None:
    """Create an access key. Its secret is printed to standard output once, and stored nowhere."""
    abilities = rules.abilities_of(_split(can), "can")
    given |= {"sees_payloads": not hide_payloads}
    if keys.store is None:
        with keys.client() as client:
            made = client.create_key(name, [ability.value for ability in abilities], _split(queues), **given)
    else:
        from holdfast.messages.key_commands import CreateKey  # noqa: PLC0415

        secret = rules.new_secret()
        command = CreateKey(rules.new_id(), name, rules.hash_of(secret), abilities, tuple(_split(queues)), **given)
        made = keys.in_store(command, secret)
    _say_secret(made, as_json, f"The access key {made.name} can {', '.join(made.abilities)} on {', '.join(made.queues)}.")


@commands.command("ls", epilog=examples("holdfast key ls", "holdfast key ls -o wide"))
@chosen(AccessKey, _COLUMNS, wide=("ID", "NOTE", "CREATED_AT", "SEES_PAYLOADS"))
@_placed
def listed(keys: Keys, as_json: bool, columns: Columns) -> None:
    """List access keys, without their secrets."""
    table(keys.all(), as_json, columns)


@commands.command("show", epilog=examples("holdfast key show ci"))
@click.argument("name")
@_placed
def shown(keys: Keys, name: str, as_json: bool) -> None:
    """Show one access key, by its name or its id, without its secret."""
    whole(keys.one(name), as_json)


@commands.command(
    epilog=examples("holdfast key edit ci --queues 'emails.*,news' --expires 90d", "holdfast key edit ci --never-expires")
)
@click.argument("name")
@click.option("--can", help="What it may do from now on, comma-separated.")
@click.option("--queues", help="Queues it sees from now on, comma-separated: names, prefixes such as 'emails.*', or *.")
@click.option("--expires", "expires_ms", type=Duration(), help="How long it is valid from now on, such as 90d.")
@click.option("--never-expires", "never", is_flag=True, help="It is valid until it is revoked.")
@click.option("--hide-payloads/--show-payloads", "hide_payloads", default=None, help="Whether it sees payloads.")
@click.option("--note", help="For people to read.")
@click.option("--requests-per-s", type=click.IntRange(0), help="Max requests a second, per front process; 0: the default.")
@click.option(
    "--parked", type=click.IntRange(0), help="Max long polls, streams and connections, per front process; 0: the default."
)
@_placed
def edit(keys: Keys, name: str, as_json: bool, **given: Any) -> None:
    """Change an access key, but not its secret. Only what is given changes; it takes effect everywhere within 2 s."""
    changes = _changes(**given)
    if not changes:
        raise click.UsageError("Say what is to change: --can, --queues, --expires, --note, …")
    if keys.store is None:
        with keys.client() as client:
            made = client.edit_key(name, **changes)
    else:
        from holdfast.messages.key_commands import EditKey  # noqa: PLC0415

        made = keys.in_store(EditKey(name, rules.KeyChanges(**changes)))
    show(made, as_json, f"The access key {made.name} can {', '.join(made.abilities)} on {', '.join(made.queues)}.")


def _changes(
    can: str | None,
    queues: str | None,
    expires_ms: int | None,
    never: bool,
    hide_payloads: bool | None,
    note: str | None,
    requests_per_s: int | None,
    parked: int | None,
) -> dict[str, Any]:
    """The fields to change, from the options."""
    found: dict[str, Any] = {"requests_per_s": requests_per_s, "parked": parked, "note": note}
    found["abilities"] = None if can is None else rules.abilities_of(_split(can), "can")
    found["queues"] = None if queues is None else tuple(_split(queues))
    found["sees_payloads"] = None if hide_payloads is None else not hide_payloads
    found = {field: value for field, value in found.items() if value is not None}
    found |= {field: None for field in ("requests_per_s", "parked") if found.get(field) == 0}
    if never and expires_ms is not None:
        raise click.UsageError("Give --expires or --never-expires, not both.")
    return found if expires_ms is None and not never else {**found, "expires_ms": expires_ms}


@commands.command(epilog=examples("holdfast key rotate ci --old 1h"))
@click.argument("name")
@click.option("--old", "old_ms", type=Duration(), default="1d", help="How long the previous secret works.  [default: 1d]")
@_placed
def rotate(keys: Keys, name: str, old_ms: int, as_json: bool) -> None:
    """Give an access key another secret, which is printed to standard output. The previous one works for a while."""
    if keys.store is None:
        with keys.client() as client:
            made = client.rotate_key(name, old_ms=old_ms)
    else:
        from holdfast.messages.key_commands import RotateKey  # noqa: PLC0415

        secret = rules.new_secret()
        made = keys.in_store(RotateKey(name, rules.hash_of(secret), old_ms), secret)
    until = f"until {instant(made.old_until)}" if made.old_until else "no longer"
    _say_secret(made, as_json, f"The access key {made.name} has another secret. The previous one works {until}.")


@commands.command(epilog=examples("holdfast key revoke ci --yes"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@destroying
@_placed
def revoke(keys: Keys, names: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Revoke access keys: they are refused everywhere within 2 s, and their open connections are closed."""
    for name in names:
        key = keys.one(name)
        if not confirmed(f"revoke the access key {key.name}, which can {', '.join(key.abilities)}", yes, dry_run):
            continue
        if keys.store is None:
            with keys.client() as client:
                client.revoke_key(key.id)
        else:
            from holdfast.messages.key_commands import RevokeKey  # noqa: PLC0415

            keys.in_store(RevokeKey(key.id))
        show({"key": key.name, "revoked": True}, as_json, f"{key.name} is revoked")


@commands.command(epilog=examples("holdfast key secret > /run/secrets/holdfast-admin"))
def secret() -> None:
    """Print a new secret, for the file that HOLDFAST_ADMIN_KEY_FILE names. Nothing is changed."""
    say(rules.new_secret())


def _say_secret(key: AccessKey, as_json: bool, words: str) -> None:
    if as_json:
        whole(key, as_json)
        return
    tell(f"{words} This is its secret; it is shown once:")
    say(key.secret or "")
    sys.stdout.flush()


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
