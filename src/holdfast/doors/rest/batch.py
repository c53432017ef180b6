"""A batch of lease verbs, decoded and encoded: the same for the HTTP route and for the live channel.

An entry beyond a bound refuses the whole; a token that can't be a lease's fails alone, without reaching the store, and so does
an entry with an invalid text. An invalid reason is repaired.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from holdfast.doors.rest import bodies, replies, surrogates
from holdfast.doors.rest.types import ConcludeIn, ExtendEntry, FailEntry, FailIn, LeaseBatchIn, ReleaseEntry
from holdfast.engine.engine import LeaseVerb
from holdfast.errors import HoldfastError, LeaseLost, MalformedJson, breach
from holdfast.http.problem import problem
from holdfast.job.job import LeaseRef
from holdfast.limits import BATCH_FOLLOW_UPS, BATCH_VERBS
from holdfast.messages.answers import Extended, Outcome
from holdfast.messages.commands import ConcludeLease, ExtendLease, FailLease, ReleaseLease
from holdfast.messages.frame import Answer, Refused

_then_of = attrgetter("then")
_NEVER_A_LEASE = Refused(LeaseLost.code, "This is not a lease token.")


class LeaseBatch:
    """The verbs of one batch, and the path of each in it."""

    __slots__ = ("_lists", "_places", "verbs")

    def __init__(self, given: LeaseBatchIn, mark: str = "") -> None:
        """`mark` is the character that marks invalid text."""
        lists: dict[str, Sequence[Any]] = {
            "conclude": given.conclude,
            "fail": given.fail,
            "release": given.release,
            "extend": given.extend,
        }
        count = sum(len(entries) for entries in lists.values())
        if not 1 <= count <= BATCH_VERBS:
            raise breach("batch", f"must have 1 to {BATCH_VERBS} entries in all")
        if sum(map(len, filter(None, map(_then_of, given.conclude)))) > BATCH_FOLLOW_UPS:
            raise breach("then", f"must have at most {BATCH_FOLLOW_UPS} entries in all concludes of a batch together")
        verbs = self.verbs = list[LeaseVerb]()
        places = self._places = list[tuple[str, int]]()
        self._lists: dict[str, list[Any]] = {}
        parse = LeaseRef.parse
        for name, entries in lists.items():
            self._lists[name] = [_NEVER_A_LEASE] * len(entries)
            if not entries:
                continue
            read = _VERBS[name]
            for index, entry in enumerate(entries):
                if mark and (broken := _broken(entry, mark)) is not None:
                    self._lists[name][index] = broken
                    continue
                if (ref := parse(entry.token)) is None:
                    continue  # it fails alone
                try:
                    verb = read(ref, entry, "")
                except HoldfastError:
                    verb = read(ref, entry, f"{name}[{index}].")
                verbs.append(verb)
                places.append((name, index))

    def place(self, number: int) -> str:
        """The path of the n-th verb, for errors."""
        name, index = self._places[number]
        return f"{name}[{index}]."

    def shown(self, results: list[Answer], draining: bool) -> dict[str, list[Any]]:
        """The four lists of the answer."""
        for (name, index), result in zip(self._places, results, strict=True):
            self._lists[name][index] = result
        return {name: [shown(result, draining) for result in many] for name, many in self._lists.items()}


def read_apart(body: bytes, kind: type[Any]) -> LeaseBatch | None:
    """A batch that could not be read: each entry for itself, where the reason is a broken text; else None."""
    found = surrogates.repaired(body)
    asked = None if found is None else surrogates.again(found[0], kind)
    return None if found is None or asked is None else LeaseBatch(asked, found[1])


def _broken(entry: Any, mark: str) -> Refused | None:
    """Clean a reason; the refusal of an entry with another broken text."""
    if isinstance(entry, FailIn):
        surrogates.clean_failure(entry, mark)
    for name in entry.__struct_fields__:
        if surrogates.is_broken(getattr(entry, name), mark):
            return Refused(MalformedJson.code, f"{name} is not valid JSON: {surrogates.BROKEN}.", {"field": name})
    return None


def concluding(ref: LeaseRef, given: ConcludeIn, at: str) -> ConcludeLease:
    """A conclude as a command."""
    if given.result is UNSET and not given.then:
        return ConcludeLease(ref)
    return ConcludeLease(ref, bodies.raw(at + "result", given.result), bodies.new_jobs(given.then, at + "then"))


def shown(result: Answer, draining: bool) -> Any:
    """What became of one lease verb."""
    if type(result) is Outcome:
        return replies.outcome_out(result)
    if type(result) is Extended:
        return replies.extended_out(result, draining)
    if type(result) is Refused:
        return problem(result.code, result.detail, result.fields)
    raise TypeError(f"{type(result).__name__} is no answer to a lease verb")


def _failing(ref: LeaseRef, given: FailEntry, at: str) -> FailLease:  # noqa: ARG001
    return bodies.failing(ref, given)


def _releasing(ref: LeaseRef, given: ReleaseEntry, at: str) -> ReleaseLease:  # noqa: ARG001
    return ReleaseLease(ref, given.delay_ms, given.priority, block=bodies.block(given.block))


def _extending(ref: LeaseRef, given: ExtendEntry, at: str) -> ExtendLease:
    return ExtendLease(ref, given.lease_ms, bodies.raw(at + "progress", given.progress))


_VERBS: dict[str, Callable[[LeaseRef, Any, str], LeaseVerb]] = {
    "conclude": concluding,
    "fail": _failing,
    "release": _releasing,
    "extend": _extending,
}
"""How an entry of each list becomes a command; its place is worked out only for a refusal."""
