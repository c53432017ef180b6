"""Somebody else's API, for this example: `python3 api.py PORT`. It answers 429 to whoever calls more than 40 times in a second.

Somebody else has used up what `acme` may have in the first second, so its first call gets 429, too. `/` says what came.
"""

import json
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
recent: dict[str, deque[float]] = defaultdict(deque)
told: Counter[str] = Counter()
used_up = {"acme"}


class Api(BaseHTTPRequestHandler):
    """One call."""

    def do_GET(self) -> None:
        """Answer it."""
        tenant = self.path.split("/")[1]
        with lock:
            status = self.status(tenant) if tenant else 200
            body = f"answer to {self.path}" if tenant else json.dumps(told)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def status(self, tenant: str) -> int:
        """Whether this call is one too many."""
        calls, now = recent[tenant], time.monotonic()
        while calls and calls[0] < now - 1:
            calls.popleft()
        status = 429 if len(calls) >= 40 or tenant in used_up else 200
        used_up.discard(tenant)
        calls.append(now)
        told[f"{tenant} {status}"] += 1
        return status

    def log_message(self, *_: object) -> None:
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Api)
print(f"somebody else's API on 127.0.0.1:{sys.argv[1]}", flush=True)
server.serve_forever()
