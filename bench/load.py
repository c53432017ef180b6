"""The load generator's process: takes orders on stdin, plays them against a server, answers on stdout.

It is a process of its own so that its CPU can be distinguished from the server's, and it runs as long as the server does,
because the tokens of one phase are the work of the next.
"""

import gc
import sys
import traceback

import msgspec
import uvloop

from bench.orders import Order
from bench.phases import Held, perform


def main() -> None:
    """Carry out one order per line until stdin ends; an order that broke is answered with {"broken": traceback}."""
    gc.freeze()
    gc.disable()  # nothing here makes cycles worth a pause in the middle of a measurement
    loop = uvloop.new_event_loop()
    held = Held()
    for line in sys.stdin.buffer:
        try:
            answer = msgspec.json.encode(loop.run_until_complete(perform(msgspec.json.decode(line, type=Order), held)))
        except Exception:  # noqa: BLE001 -- the harness reports it; other cases go on
            answer = msgspec.json.encode({"broken": traceback.format_exc()})
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
