"""The audit log in messages: the base class of managing verbs, the entries that they leave, and the query that reads these.

A managing verb is a `Managed` command: it has its actor and describes itself, so that its entry is written in the transaction
that commits it. No entry contains a payload, a result, a token or the text of an error.
"""

from typing import ClassVar, Generic

import msgspec

from holdfast.auth.actor import NOBODY, Actor
from holdfast.limits import ID_MAX
from holdfast.messages.answers import Counted
from holdfast.messages.frame import A, Answer, Command, Frame, Phase, Query

DONE = "done"
GOING_ON = "going_on"
"""The outcome of an action in several commits, until the last of them."""


class Deed(msgspec.Struct, frozen=True):
    """What a command does, for its entry: `target` is what it changes, `note` a few words on how. `job`: the target is this
    job.
    """

    action: str
    queue: str = ""
    target: str = ""
    note: str = ""
    job: int | None = None


class Bulk(Frame, frozen=True):
    """The command is part of a bulk action, which has one entry for each queue: `run` identifies it. `target` says which jobs
    the action is for ("": the command's own target), and `queue` is the queue to record for jobs that do not exist.
    """

    run: str
    target: str = ""
    queue: str = ""


class Managed(Command[A], Generic[A], frozen=True, kw_only=True):
    """A command that leaves an entry in the audit log, done or refused."""

    counts: ClassVar[bool] = False
    """Whether its answer says how many were changed."""

    actor: Actor = NOBODY
    bulk: Bulk | None = None

    def deed(self) -> Deed:
        """What it does."""
        raise NotImplementedError


class AuditEntry(Frame, frozen=True):
    """One action. `outcome`: `done`, `going_on`, or the code of the refusal; `done` and `refused`: how many were changed and
    refused.
    """

    action: str
    queue: str = ""
    target: str = ""
    note: str = ""
    outcome: str = DONE
    done: int = 1
    refused: int = 0
    actor: Actor = NOBODY
    run: str = ""
    at: int = 0
    id: int = 0


def refusal_of(command: Managed[Answer], code: str) -> AuditEntry:
    """The entry of a command that was refused before it was decided."""
    deed, bulk = command.deed(), command.bulk or Bulk("")
    target, queue = deed.target, deed.queue
    if deed.job is not None:
        target, queue = bulk.target or str(deed.job), queue or (bulk.queue if bulk.target else "")
    return AuditEntry(deed.action, queue, target, deed.note, code, 0, 1, command.actor, bulk.run)


class RecordAudit(Command[Counted], frozen=True, tag=81):
    """Add an entry for an action that is no command, such as a login, or for a refusal before there was a command."""

    entry: AuditEntry


class TrimAudit(Command[Counted], frozen=True, tag=83):
    """Remove the oldest entries, up to `limit`, that are older than this or too many."""

    phase: ClassVar[Phase] = Phase.TIME

    keep_ms: int
    limit: int


class AuditFilter(Frame, frozen=True):
    """Filters of entries; "" and None match all. `who`: a name or an address; `action`: an action, or its first word;
    `outcome`: an outcome, or `refused`; `since` and `until` in milliseconds.
    """

    who: str = ""
    action: str = ""
    queue: str = ""
    target: str = ""
    job: int | None = None
    outcome: str = ""
    text: str = ""
    since: int = 0
    until: int = ID_MAX


class ListAudit(Query["AuditPage"], frozen=True, tag=82):
    """Up to `limit` entries: those before the id `before`, the newest first; or with `after`, those after that id, the oldest
    first.
    """

    limit: int
    filter: AuditFilter = AuditFilter()
    before: int = ID_MAX
    after: int | None = None


class AuditPage(Answer, frozen=True, tag=173):
    """A page of entries, and the id at which the next one starts (None: this is the last). `kept` and `kept_bytes` are the size
    of the whole log, `removed` the number of entries removed so far.
    """

    entries: list[AuditEntry]
    now: int
    cursor: int | None = None
    kept: int = 0
    kept_bytes: int = 0
    removed: int = 0
