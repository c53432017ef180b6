"""The audit log as it crosses: what managing verbs have in common, the entries that they leave, and how these are asked for.

A managing verb is a `Managed` command: it knows who does it and how it is told, so that whoever commits it writes its entry in the same
transaction. No entry has a payload, a result, a token or the text of an error in it.
"""

from typing import ClassVar, Generic

import msgspec

from holdfast.auth.actor import NOBODY, Actor
from holdfast.limits import ID_MAX
from holdfast.messages.answers import Counted
from holdfast.messages.frame import A, Answer, Command, Frame, Phase, Query

DONE = "done"
GOING_ON = "going_on"
"""The outcome of what takes several commits, until the last of them."""


class Deed(msgspec.Struct, frozen=True):
    """What a command does, to be told: `target` is what it does it to, `note` a few words on how. `job`: the target is this job."""

    action: str
    queue: str = ""
    target: str = ""
    note: str = ""
    job: int | None = None


class Bulk(Frame, frozen=True):
    """A command is a part of something larger, which has one entry for each queue: `run` tells it apart. `target` says which jobs all of it is done
    to ("": as the command says), and `queue` in which queue they would be that are not there.
    """

    run: str
    target: str = ""
    queue: str = ""


class Managed(Command[A], Generic[A], frozen=True, kw_only=True):
    """A command that leaves an entry in the audit log, done or refused."""

    counts: ClassVar[bool] = False
    """Whether its answer says how many it was done to."""

    actor: Actor = NOBODY
    bulk: Bulk | None = None

    def deed(self) -> Deed:
        """What it does."""
        raise NotImplementedError


class AuditEntry(Frame, frozen=True):
    """One deed. `outcome`: `done`, `going_on`, or the code of the refusal; `done` and `refused` count what it was done to, and what was refused."""

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
    """Keep an entry of what is no command, such as a login, or of a refusal before there was one."""

    entry: AuditEntry


class TrimAudit(Command[Counted], frozen=True, tag=83):
    """Remove the oldest entries, up to `limit`, that are older than this or too many."""

    phase: ClassVar[Phase] = Phase.TIME

    keep_ms: int
    limit: int


class AuditFilter(Frame, frozen=True):
    """All that entries can be narrowed by; "" and None are any. `who`: a name or an address; `action`: one, or its first word; `outcome`: one, or
    `refused`; `since` and `until` in milliseconds.
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
    """Up to `limit` entries: the newest first that are older than the one with the number `before`, or, with `after`, the oldest first after that."""

    limit: int
    filter: AuditFilter = AuditFilter()
    before: int = ID_MAX
    after: int | None = None


class AuditPage(Answer, frozen=True, tag=173):
    """Some entries, and the number at which to go on (None: these are the last). `kept` and `kept_bytes` are all that there are, `removed` those
    that were there once.
    """

    entries: list[AuditEntry]
    now: int
    cursor: int | None = None
    kept: int = 0
    kept_bytes: int = 0
    removed: int = 0
