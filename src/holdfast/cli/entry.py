"""Where `holdfast …` begins: finds the command, and imports only what that one needs.

The server is an extra. Without it, its commands say how to install it; those that talk to a server work without. Names and
summaries are repeated here, so that `holdfast --help`, and completing a name, import none of the commands.
"""

import os
import sys

from holdfast import init, process

if sys.argv[1:2] == ["serve"]:
    process.begin()
elif sys.argv[1:2] in (
    ["backup"],
    ["check"],
    ["config"],
    ["doctor"],
    ["move"],
    ["restore"],
    ["export"],
    ["init"],
    ["import"],
    ["upgrade"],
):
    process.open_descriptors()
# The others report output that can't be written, even if it is closed: see `open_streams`.
if os.getpid() == 1:
    init.begin()

import gc
import importlib
from types import ModuleType
from typing import Any, NamedTuple, TextIO

import click
from click.shell_completion import CompletionItem

from holdfast import __version__
from holdfast.cli.output import UNWRITTEN, Unwritten, mute, open_streams, tell


class Place(NamedTuple):
    """A command's module and its summary."""

    module: str
    name: str
    summary: str


_WATCHING = "holdfast.cli.events"
TALKING = {
    "audit": Place("holdfast.cli.audit", "audit", "List who did what by hand, the newest first."),
    "batch": Place("holdfast.cli.batches", "commands", "Make batches of jobs, watch, close and cancel them."),
    "completion": Place("holdfast.cli.completion", "completion", "Print a shell completion script."),
    "events": Place(_WATCHING, "events", "Stream events of jobs as they are committed."),
    "failures": Place("holdfast.cli.failures", "failures", "List the newest failures, those with the same error together."),
    "interest": Place(
        "holdfast.cli.interests", "commands", "Manage subscriptions (interests): which published events a queue gets."
    ),
    "job": Place("holdfast.cli.jobs", "commands", "Enqueue, list, inspect and manage jobs."),
    "key": Place("holdfast.cli.keys", "commands", "Manage access keys: who may do what, on which queues."),
    "man": Place("holdfast.cli.man", "manual", "Read the manual pages, or write them into a folder."),
    "operation": Place("holdfast.cli.operations", "commands", "Have the server do one thing to many jobs, and watch it."),
    "profile": Place("holdfast.cli.profile", "commands", "List the named servers of --profile."),
    "publish": Place("holdfast.cli.interests", "publish", "Publish an event to all subscribed queues."),
    "bench": Place(
        "holdfast.cli.bench", "bench", "Measure a server: how many jobs a second go through it, and how long each call takes."
    ),
    "budget": Place("holdfast.cli.budgets", "commands", "Limit how many jobs start in a time, or run at once."),
    "queue": Place("holdfast.cli.queues", "commands", "List, inspect, pause, drain, configure and purge queues."),
    "schedule": Place("holdfast.cli.schedules", "commands", "Manage recurring (cron) jobs."),
    "stats": Place(_WATCHING, "stats", "Show the statistics of a server, in total and per queue."),
    "top": Place("holdfast.cli.top", "top", "Watch queues and workers on a live screen."),
    "verify": Place(
        "holdfast.cli.verify", "verify", "Verify that a server keeps what it answers, while it is killed and restarted."
    ),
    "worker": Place(
        "holdfast.cli.workers", "commands", "List workers, stop them gracefully, and run tasks, or a program for each job."
    ),
}
SERVER = {
    "backup": Place("holdfast.cli.check", "backup", "Copy a store file, even while a server uses it."),
    "check": Place("holdfast.cli.check", "check", "Verify the integrity of a store."),
    "config": Place("holdfast.cli.serve", "config", "Print the effective settings, and where each comes from."),
    "dev": Place("holdfast.cli.dev", "dev", "Run a server for development, with its page opened."),
    "doctor": Place("holdfast.cli.doctor", "doctor", "Check that a PostgreSQL server keeps the durability promise."),
    "export": Place("holdfast.cli.export", "export_store", "Write what a store has to standard output, as NDJSON."),
    "import": Place("holdfast.cli.import_store", "import_store", "Put an export into a store that no server uses."),
    "init": Place("holdfast.cli.serve", "init_config", "Write a config file with every setting, explained."),
    "move": Place("holdfast.cli.move", "move", "Move a store into another, empty store."),
    "restore": Place("holdfast.cli.restore", "restore_backup", "Put a BACKUP in place as the store of a server."),
    "serve": Place("holdfast.cli.serve", "serve", "Run the server."),
    "test-server": Place("holdfast.testing.command", "serve", "Serve the tests of a program, for its pytest plugin."),
    "upgrade": Place(
        "holdfast.cli.upgrade", "upgrade", "Bring a store to the schema of this version, or say what that would do."
    ),
}


class Commands(click.Group):
    """The commands by name; those in `TALKING` need the client alone."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, with all three streams open, and with a message where the help itself can't be written."""
        open_streams()
        try:
            return super().main(*args, **extra)
        except Unwritten:
            sys.exit(UNWRITTEN)
        except OSError as error:
            if _can_be_written(sys.stdout):  # then it is about something else
                raise
            mute(sys.stdout, 1)
            tell(f"holdfast: standard output can't be written ({error.strerror or error})")
            sys.exit(UNWRITTEN)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's own signature)
        """All names, whether or not the server is installed."""
        return sorted({*TALKING, *SERVER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's own signature)
        """One command; None if there is none of that name."""
        place = (TALKING | SERVER).get(cmd_name)
        if place is None:
            return None
        try:
            found: click.Command = getattr(_imported(place.module), place.name)
        except ModuleNotFoundError as error:
            missing = str(error.name)
            if cmd_name in TALKING or missing.partition(".")[0] == "holdfast":
                raise  # a defect, not a missing package
            sys.exit(
                f"holdfast: this needs the server: pip install 'PATH[server]', where PATH is a checkout or a wheel ({missing} is missing)"
            )
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Two lists: commands that talk to a server, and those of the server."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in sorted(TALKING.items())])
        with formatter.section("Server commands (pip install 'PATH[server]', where PATH is a checkout or a wheel)"):
            formatter.write_dl([(name, place.summary) for name, place in sorted(SERVER.items())])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names that begin so."""
        places = TALKING | SERVER
        names = [CompletionItem(name, help=places[name].summary) for name in sorted(places) if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def _imported(module: str) -> ModuleType:
    """A module. Garbage is not collected meanwhile, since imports leave none, and never among what they made: a fifth of a short command."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def _can_be_written(stream: TextIO) -> bool:
    """Whether what was printed could be passed on: what could not is still held, and fails again."""
    try:
        stream.flush()
    except OSError:
        return False
    return True


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='\b\nExamples:\n  holdfast serve\n  holdfast job push mail \'{"to": "ada@example.org"}\'\n'
    "  holdfast worker exec --queue mail -- ./send.sh\n\n"
    "HOLDFAST_URL and HOLDFAST_TOKEN (or HOLDFAST_PROFILE) name the server and the access token.",
)
@click.version_option(__version__, prog_name="holdfast")
def main() -> None:
    """A work queue server that never lets go of a job."""
