"""Between the verbs and the committer: submit, wait for the commit, and raise a refusal as an error.

What is in progress is bounded in commands, and in bytes by the process's budget. Past a bound the caller gets `overloaded` at
once.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.actor import ACTOR
from holdfast.auth.caller import CALLER
from holdfast.auth.keyring import Keyring
from holdfast.budget import Budget
from holdfast.engine.access import permit
from holdfast.errors import BY_CODE, HoldfastError, InternalError, Overloaded
from holdfast.logs import structlog
from holdfast.messages.answers import Granted
from holdfast.messages.audit import AuditEntry, Bulk, Managed, RecordAudit, refusal_of
from holdfast.messages.backend import Backend
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import A, Answer, Command, Refused

log = structlog.get_logger(__name__)


class Submitter:
    """Submits the engine's commands to the backend."""

    def __init__(self, backend: Backend, budget: Budget) -> None:
        self._backend = backend
        self.budget = budget
        self.keyring = Keyring()
        self.in_flight = 0

    async def ask(self, command: Command[A], weight: int = 0) -> A:
        """Submit a command, wait for its commit, and raise a refusal as an error."""
        future = self._send(permit(command, CALLER.get()) if self.keyring.in_force else command, weight)
        try:
            result = await future
        finally:
            self.in_flight -= 1
            if weight:
                self.budget.give(weight)
        if type(result) is Refused:
            raise error_of(result)
        return result

    async def manage(self, command: Managed[A], weight: int = 0) -> A:
        """The same for a managing verb, with the actor of this context."""
        command = signed(command)
        async with self.audited(command):
            pass
        return await self.ask(command, weight)

    @asynccontextmanager
    async def audited(self, command: Managed[Answer]) -> AsyncIterator[None]:
        """Whoever may not do this is refused, and what is refused in here, before the command is submitted, is in the audit log as well."""
        try:
            if self.keyring.in_force:
                permit(command, CALLER.get())
            yield
        except HoldfastError as error:
            await self.record(refusal_of(signed(command), error.code))
            raise

    async def record(self, entry: AuditEntry) -> None:
        """Write an audit log entry for what is not a command. If the store can't take it, the entry goes to the log."""
        try:
            await self.ask_as_server(RecordAudit(entry))
        except HoldfastError as error:
            not_kept(entry, error.code)

    async def ask_as_server(self, command: Command[A]) -> A:
        """Submit a command of the server itself: there is no caller, so no key is checked."""
        future = self._send(command, 0)
        try:
            return or_raise(await future)
        finally:
            self.in_flight -= 1

    async def _ask_many(self, commands: Sequence[Command[A]], weight: int) -> list[A | Refused]:
        """Submit all of these, or none if there are too many; refusals are among the results."""
        if self.keyring.in_force:
            return await self._ask_permitted(commands, weight)
        return await self._ask_all(commands, weight)

    async def _ask_permitted(self, commands: Sequence[Command[A]], weight: int) -> list[A | Refused]:
        """The same for those that the caller is allowed; raises if there is none. A refused one does not affect the others."""
        caller = CALLER.get()
        results: list[A | Refused | None] = []
        permitted: list[Command[A]] = []
        for command in commands:
            try:
                permitted.append(permit(command, caller))
                results.append(None)
            except HoldfastError as error:
                results.append(Refused(error.code, error.detail, error.fields))
        if commands and not permitted:
            permit(commands[0], caller)
        answers = iter(await self._ask_all(permitted, weight))
        return [next(answers) if result is None else result for result in results]

    async def _ask_all(self, commands: Sequence[Command[A]], weight: int) -> list[A | Refused]:
        self._admit(len(commands), weight)
        self.in_flight += len(commands)
        try:
            return await self._backend.submit_all(commands, weight)
        finally:
            self.in_flight -= len(commands)
            self.budget.give(weight)

    def submit(self, command: Command[A], weight: int) -> "asyncio.Future[A | Refused]":
        """Send a command that holds so many bytes. It counts until `release_quota` is called, which is due with its answer."""
        return self._send(self._permitted(command), weight)

    def await_jobs(self, command: LeaseJobs) -> "asyncio.Future[Granted | Refused]":
        """Have these leased in the commit that makes some ready. It counts for nothing here: whoever waits is counted where it is parked."""
        return self._backend.await_jobs(permit(command, CALLER.get()) if self.keyring.in_force else command)

    def await_no_more(self, awaited: "asyncio.Future[Granted | Refused]") -> None:
        """End that: it is answered with what it was just granted, or with nothing."""
        self._backend.leave(awaited)

    def _permitted(self, command: Command[A]) -> Command[A]:
        return permit(command, CALLER.get()) if self.keyring.in_force else command

    def _send(self, command: Command[A], weight: int) -> "asyncio.Future[A | Refused]":
        if self.in_flight >= limits.IN_FLIGHT_COMMANDS:
            raise Overloaded(retry_after_ms=1_000)
        if weight:
            self.budget.take(weight)
        self.in_flight += 1
        return self._backend.submit(command)

    def _admit(self, count: int, weight: int) -> None:
        if self.in_flight + count > limits.IN_FLIGHT_COMMANDS:
            raise Overloaded(retry_after_ms=1_000)
        if weight:
            self.budget.take(weight)

    def release_quota(self, weight: int) -> None:
        """A command of so many bytes has been answered."""
        self.in_flight -= 1
        if weight:
            self.budget.give(weight)


BULK: ContextVar[Bulk | None] = ContextVar("bulk", default=None)
"""What all that is done in this context is a part of."""


def new_run() -> Bulk:
    """Several commands that are reported as one."""
    return Bulk(secrets.token_hex(8))


def signed(command: Managed[A]) -> Managed[A]:
    """The command with the actor of this context."""
    return replace(command, actor=ACTOR.get(), bulk=command.bulk or BULK.get())


def not_kept(entry: AuditEntry, code: str) -> None:
    """Have the log say that an entry of the audit log is missing."""
    log.warning("an entry of the audit log could not be kept", action=entry.action, outcome=entry.outcome, code=code)


def error_of(refused: Refused) -> HoldfastError:
    """The error for a refusal."""
    fields: dict[str, Any] = refused.fields
    return BY_CODE.get(refused.code, InternalError)(refused.detail, **fields)


def or_raise(result: A | Refused) -> A:
    """The answer; raises if it is a refusal."""
    if isinstance(result, Refused):
        raise error_of(result)
    return result
