"""What open screens listen to: a stream of `change` events, and the history as numbers."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.system import EVENTS
from holdfast.doors.web.layout import View, get
from holdfast.engine import checks
from holdfast.engine.access import caller_here
from holdfast.engine.change_signal import ChangeSignal
from holdfast.http.reply import Reply
from holdfast.http.route import Route

_AT_MOST_EVERY_S = 1.0  # however much is committed, a page is redrawn once a second
_AT_LEAST_EVERY_S = 5.0  # ages and leases go on also when nothing is committed


@get("/web/stream")
async def stream(state: AppState) -> Reply:
    """Server-sent events: `change` whenever it is worth looking again."""
    caller = caller_here(state.engine.keyring)
    if caller is not None:
        caller.need(Ability.READ)
    state.engine.change_signal.join()
    return Reply(
        200,
        content_type=EVENTS,
        extra=((b"x-accel-buffering", b"no"),),
        stream=_changes(state.engine.change_signal, caller, state.engine.keyring),
    )


async def _changes(change_signal: ChangeSignal, caller: Caller | None, keyring: Keyring) -> AsyncIterator[bytes]:
    listener = object()
    try:
        if caller is not None:
            caller.opened(listener, lambda _: change_signal.beat())
        yield b"retry: 3000\n\n"
        seen = await change_signal.wait(-1, 0)
        while not change_signal.ended and _may_look(caller, keyring):
            seen = await change_signal.wait(seen, _AT_LEAST_EVERY_S)
            if _may_look(caller, keyring):
                yield b"event: change\ndata: 1\n\n"  # not how much was committed: that may be others'
            await asyncio.sleep(_AT_MOST_EVERY_S)
    finally:
        change_signal.leave()
        if caller is not None:
            caller.closed(listener)


def _may_look(caller: Caller | None, keyring: Keyring) -> bool:
    """Whether who opened the stream may still look: keys come into force, end and are edited meanwhile."""
    if caller is None:
        return not keyring.in_force
    return not caller.ended and Ability.READ in caller.abilities


@get("/web/history")
async def history(view: View) -> Reply:
    """Columns for the plots: times in seconds, rates a second, depth, and milliseconds."""
    queue = view.query.get("queue", "")
    if queue:
        checks.name_of_queue("queue", queue)
    found = await view.engine.reading.history(queue, view.query.get("span", "hour"))
    seconds = found.step_ms / 1000
    steps = found.steps
    columns = {
        "at": [step.at / 1000 for step in steps],
        "in": [round(step.came / seconds, 3) for step in steps],
        "out": [round(step.done / seconds, 3) for step in steps],
        "failed": [round(step.failed / seconds, 3) for step in steps],
        "depth": [step.depth for step in steps],
        "wait_p50": [step.wait_p50 for step in steps],
        "wait_p95": [step.wait_p95 for step in steps],
        "run_p50": [step.run_p50 for step in steps],
        "run_p95": [step.run_p95 for step in steps],
        "step": seconds,
        "began": found.began_at / 1000,
        "now": found.now / 1000,
    }
    return Reply(200, msgspec.json.encode(columns))


ROUTES: list[Route] = [stream, history]
