"""`holdfast completion SHELL`, and the names of queues, schedules and workers that a shell completes.

Names are fetched from the server that the command would use. If it does not answer at once there are none: nobody should wait
while typing, and no message is printed into the line.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from holdfast.cli.context import examples
from holdfast.cli.output import one_line, say
from holdfast.cli.profiles import Profile, address

if TYPE_CHECKING:
    from holdfast.client import Client

_VARIABLE = "_HOLDFAST_COMPLETE"
_WITHIN_S = 0.5
_NAMES = 1_000  # of the first page
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command(
    epilog=examples(
        'eval "$(holdfast completion bash)"        # in ~/.bashrc',
        'eval "$(holdfast completion zsh)"         # in ~/.zshrc',
        "holdfast completion fish > ~/.config/fish/completions/holdfast.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell completion script. It completes commands, options, and names on the server."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    say(found(ctx.find_root().command, {}, "holdfast", _VARIABLE).source())


def _asked(ask: "Callable[[Client], Iterable[tuple[str, str]]]") -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        from holdfast.client import Client  # noqa: PLC0415  (only where a shell asks)

        try:
            place = address(Profile(*(ctx.params.get(name) for name in Profile._fields)), ctx.params.get("profile"))
            with Client(**place._asdict(), deadline_s=_WITHIN_S, attempt_s=_WITHIN_S) as client:
                names = list(islice(ask(client), _NAMES))
        except Exception:  # noqa: BLE001  (a shell has no place for a message here)
            return []
        return [CompletionItem(name, help=one_line(about)) for name, about in names if name.startswith(incomplete)]

    return complete


queue_names = _asked(lambda client: ((each.name, f"{each.jobs.ready} ready") for each in client.queues(page=_NAMES)))
schedule_names = _asked(lambda client: ((each.name, each.cron or "") for each in client.schedules(page=_NAMES)))
budget_names = _asked(lambda client: ((each.name, f"{each.waiting} waiting") for each in client.budgets()))
worker_ids = _asked(lambda client: ((each.id, each.name) for each in client.workers()))
