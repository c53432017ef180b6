"""What the commands that talk to a server share: its address, the output, and the exit codes.

Data goes to standard output, messages to standard error. With `--json`, one JSON document for each line.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from holdfast import units
from holdfast.cli.output import UNWRITTEN, Unwritten, harmless, json_text, lost, one_line, say, tell
from holdfast.cli.profiles import Profile, address, complete_profiles
from holdfast.cli.sent import remember
from holdfast.client import Client, NotConcluded, Unreachable
from holdfast.client.budgets import Charge
from holdfast.client.refusals import UnexpectedAnswer
from holdfast.client.retry import Call, decode
from holdfast.client.tokens import Hidden
from holdfast.errors import HoldfastError, NotFound, OutcomeUnknown

REFUSED, UNREACHED, NOT_THERE, ENDED_OTHERWISE, INTERRUPTED = 1, 3, 4, 5, 130
EXIT_CODES = {
    0: "Done.",
    REFUSED: "Refused. The message ends with the code, and the field where there is one: [invalid_request: cron].",
    2: "The command was wrong. Nothing was done.",
    UNREACHED: "No Holdfast server answered, or the outcome is unknown: repeat the command with the same --idempotency-key.",
    NOT_THERE: "What was named is not there.",
    ENDED_OTHERWISE: "The job did not end as concluded, or the time was up.",
    UNWRITTEN: "Done, but standard output could not be written (full disk, closed pipe). The message says what was done.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
}
"""What a caller may go by. The documentation and the manual pages have the same table."""
AMOUNT = click.IntRange(1, 1_000_000_000)
Command = Callable[..., Any]
T = TypeVar("T")
_LONGEST_MS = 36_500 * 86_400_000  # a hundred years: dates can't be computed with more


class Duration(click.ParamType[int]):
    """`500ms`, `1.5s`, `10m`, `1h 30m` or `7d`, as milliseconds; a number alone is seconds."""

    name = "duration"

    def __init__(self, at_most_ms: int = _LONGEST_MS) -> None:
        self._at_most_ms = at_most_ms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds."""
        try:
            ms = units.duration_ms(str(value), bare_ms=1_000)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)
        if ms > self._at_most_ms:
            self.fail(f"{value!r} is more than {units.duration(self._at_most_ms)}", param, ctx)
        return ms


class Words(click.ParamType[str]):
    """A text that is not empty: such as that of an unset variable would match everything, or mean another server."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text."""
        if not str(value):
            self.fail("it is empty", param, ctx)
        return str(value)


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The two."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, text


class ChargeText(click.ParamType[Charge]):
    """`NAME`, `NAME/KEY`, `NAME=COST` or `NAME/KEY=COST`."""

    name = "NAME[/KEY][=COST]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Charge:
        """A budget, and what the job costs it."""
        if isinstance(value, Charge):
            return value
        account, _, cost = str(value).partition("=") if "/" not in value else _split_last(value)
        name, _, key = account.partition("/")
        if not name or (cost and not cost.isdecimal()):
            self.fail(f"{value!r} is not NAME, NAME/KEY, NAME=COST or NAME/KEY=COST", param, ctx)
        return Charge(name, key, int(cost or 1))


def _split_last(value: str) -> tuple[str, str, str]:
    """A key may contain a `=`: what follows the last one is the cost, if it is a number."""
    account, mark, cost = value.rpartition("=")
    return (account, mark, cost) if mark and cost.isdecimal() else (value, "", "")


budget_option = click.option(
    "--budget",
    "budgets",
    type=ChargeText(),
    multiple=True,
    help="Budget that has to pay for its start, such as openai/tenant-7=3; repeatable.",
)


def meta_option(words: str) -> Callable[[Command], Command]:
    """`--meta`."""
    return pairs_option("--meta", f"{words}, such as tenant=7")


def pairs_option(option: str, words: str) -> Callable[[Command], Command]:
    """Names and values, any number of times, but each name once: with the last of two values a filter would find what both exclude."""

    def once(
        _context: click.Context, _option: click.Parameter, pairs: tuple[tuple[str, str], ...]
    ) -> tuple[tuple[str, str], ...]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise click.BadParameter(f"{name!r} is given twice")
        return pairs

    return click.option(option, type=Pair(), multiple=True, callback=once, help=f"{words}; repeatable.")


class JobId(click.ParamType[int]):
    """The number of a job, or of what has one of these numbers, in digits: what Python would take for a number as well (`1_0`, `+1`) may be a slip, and names another job."""

    name = "job_id"

    def __init__(self, what: str = "job") -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if re.fullmatch(r"[1-9][0-9]{0,15}", str(value)) is None:
            self.fail(f"{value!r} is not the number of {'an' if self._what[0] in 'aeiou' else 'a'} {self._what}", param, ctx)
        return int(value)


class CommandClient(Client):
    """The client of commands: what it is answered can be printed as it was sent."""

    def _call(self, kind: type[T], call: Call) -> T:
        body = self._answered(call)
        answer = decode(kind, body)
        remember(answer, body)
        return answer


def addressed(command: Command) -> Command:
    """Give a command a `place`: a server, by `--url`, `--token` and the files of TLS, by `--profile`, or by the environment."""

    @click.option("--url", type=Words(), help="Server URL.  [env: HOLDFAST_URL]")
    @click.option("--token", type=Words(), help="Access token.  [env: HOLDFAST_TOKEN]")
    @click.option("--ca-file", help="PEM file with the CA of the server's certificate.  [env: HOLDFAST_CA_FILE]")
    @click.option("--client-cert", help="PEM file with a client certificate.  [env: HOLDFAST_CLIENT_CERT]")
    @click.option("--client-key", help="PEM file with its key, if not in the same file.  [env: HOLDFAST_CLIENT_KEY]")
    @click.option(
        "--profile",
        type=Words(),
        help="Profile with the URL and the token.  [env: HOLDFAST_PROFILE]",
        shell_complete=complete_profiles,
    )
    @wraps(command)
    def run(profile: str | None, **given: Any) -> None:
        named = Profile(*(given.pop(field) for field in Profile._fields))
        try:
            place = address(named._replace(token=Hidden(named.token) if named.token else None), profile)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        command(place=place, **given)

    return run


_SYNONYMS = (("ls", "list"), ("get", "show", "info"), ("set", "edit"), ("delete", "rm"), ("push", "enqueue"))


class Verbs(click.Group):
    """Commands about one kind of thing. Where there is no other, a usual word for a verb does as well: `list` for `ls`, `show` for `get`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or of one that means the same."""
        found = super().get_command(ctx, cmd_name)
        if found is None:
            alike = [word for words in _SYNONYMS if cmd_name in words for word in words if word in self.commands]
            found = self.commands[alike[0]] if len(alike) == 1 else None
        return found


def talking(command: Command) -> Command:
    """Give a command a client of the addressed server, `--deadline` and `--json`, and turn refusals into messages and exit
    codes.
    """

    @addressed
    @click.option(
        "--deadline",
        "deadline_ms",
        type=Duration(),
        default="60s",
        help="Max time of each call, retries included.  [default: 60s]",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per line.")
    @wraps(command)
    def run(place: Profile, deadline_ms: int, **given: Any) -> None:
        with refusals(), CommandClient(**place._asdict(), deadline_s=deadline_ms / 1_000) as client:
            command(client, **given)

    return run


@contextmanager
def refusals() -> Iterator[None]:
    """Turn exceptions raised within, and lost output, into a message and an exit code."""
    try:
        yield
    except HoldfastError as error:
        refuse(words_of(error), code_of(error))
    except TimeoutError as error:
        refuse(str(error), ENDED_OTHERWISE)
    except UnicodeEncodeError as error:  # of an argument: bytes that are no text stand in it as halves of characters
        raise click.UsageError(f"{error.object[:100]!a} is not UTF-8") from None
    except ValueError as error:
        raise click.UsageError(harmless(str(error))) from None
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Unwritten:
        sys.exit(UNWRITTEN)
    if said := lost():
        refuse(said, UNWRITTEN)


def words_of(error: HoldfastError) -> str:
    """A refusal as a message: its sentence, its code, and its field."""
    field = error.fields.get("field")
    return f"{error} [{error.code}{f': {field}' if field else ''}]"


def code_of(error: HoldfastError) -> int:
    """The exit code of a refusal."""
    if isinstance(error, NotFound):
        return NOT_THERE
    if isinstance(error, NotConcluded):
        return ENDED_OTHERWISE
    return UNREACHED if isinstance(error, Unreachable | OutcomeUnknown | UnexpectedAnswer) else REFUSED


def refuse(message: str, code: int) -> NoReturn:
    """End with a message and a code."""
    tell(f"holdfast: {message}")
    sys.exit(code)


def examples(*lines: str) -> str:
    """Examples at the end of a command's help, each on a line of its own."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def given_json(text: str | bytes, place: str) -> msgspec.Raw:
    """JSON given by the user, unchanged; the error says where it is invalid."""
    body = os.fsencode(text) if isinstance(text, str) else text  # as it was typed, whatever the locale
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)  # a number that Python can't represent is valid JSON
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{place} is not UTF-8: byte {error.start + 1} is 0x{body[error.start]:02x}") from None
    except RecursionError:
        raise click.UsageError(f"{place} is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{place} is not JSON: {error}. A text is put in quotes: '\"text\"'.") from None
    return msgspec.Raw(body.strip())


def given_changes(pairs: Iterable[str]) -> dict[str, Any]:
    """`NAME=VALUE`s that the user gave: each value in JSON, or with units where it is a duration or a size, as in `lease_ms=5m`."""
    changes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{pair!r} has no =")
        changes[name] = _with_units(name, value) or given_json(value, f"the value of {name}")
    return changes


def _with_units(name: str, value: str) -> int | None:
    read = units.duration_ms if name.endswith("_ms") else units.size_bytes if name.endswith("_bytes") else None
    if read is None or not value[:1].isdigit() or value.isdigit():
        return None
    try:
        return read(value)
    except ValueError as error:
        raise click.UsageError(f"{name} {error}") from None


def show(thing: Any, as_json: bool, words: str) -> None:
    """One thing: whole as JSON, or in words."""
    say(json_text(thing) if as_json else harmless(words))


def whole(thing: Any, as_json: bool) -> None:
    """One thing whole, as JSON: on one line, or for people to read."""
    say(json_text(thing, indent=not as_json))


def destroying(command: Command) -> Command:
    """Give a command `--yes` and `--dry-run`; `confirmed` heeds them."""
    command = click.option("--dry-run", is_flag=True, help="Only print what would be done.")(command)
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(command)


def confirmed(what: str, yes: bool, dry_run: bool) -> bool:
    """Whether to destroy it: only printed with `--dry-run`; asked on a terminal; elsewhere `--yes` is required."""
    if dry_run:
        tell(f"would {what}")
        return False
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(harmless(f"this would {what}: confirm with --yes"))
    return yes or click.confirm(one_line(f"{what[0].upper()}{what[1:]}?"), err=True)
