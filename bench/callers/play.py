"""A caller's process, or a worker's.

python -m bench.callers.play caller FILE:CLASS ADDRESS QUEUE PAYLOAD_BYTES    one order per line of stdin, one answer per line of stdout
python -m bench.callers.play worker FILE ADDRESS QUEUE MARKS                  works until SIGTERM
"""

import asyncio
import inspect
import json
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.callers import marks
from bench.callers.turns import Turns, play, play_async


def main() -> None:
    role, where, address, queue, last = sys.argv[1:]
    file, _, name = where.partition(":")
    module = import_module(f"bench.callers.{file}")
    if role == "worker":
        marks.attach(Path(last))
        module.work(address, queue)
        return
    door = getattr(module, name)(address, queue, int(last))
    if inspect.iscoroutinefunction(door.turn):
        asyncio.run(_orders_async(door))
    else:
        _orders(door)


def _orders(door: Any) -> None:
    _say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if order.pop("many"):
                answer = _enqueued(order, door.many(order["first"], order["count"]) if hasattr(door, "many") else None)
            else:
                turns = Turns(**order)
                play(door, turns)
                answer = turns.said()
        except Exception:  # noqa: BLE001 -- the harness reports it; other cases go on
            answer = {"broken": traceback.format_exc()}
        _say(answer)


async def _orders_async(door: Any) -> None:
    await door.opened()
    _say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            if order.pop("many"):
                answer = _enqueued(order, await door.many(order["first"], order["count"]) if hasattr(door, "many") else None)
            else:
                turns = Turns(**order)
                await play_async(door, turns)
                answer = turns.said()
        except Exception:  # noqa: BLE001 -- as above
            answer = {"broken": traceback.format_exc()}
        _say(answer)


def _enqueued(order: dict[str, Any], many: int | None) -> dict[str, Any]:
    """How far the numbers go now; `many` is how many were enqueued at once, None for a door that can't."""
    return {"next": order["first"] + (many or 0)}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
