"""A collector of traces: takes what OTLP exporters send over HTTP, and holds the spans."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from tests.system.whole.servers import until


class Seen:
    """One span, by what tests look at."""

    def __init__(self, span: Any, service: str) -> None:
        self.name: str = span.name
        self.service = service
        self.trace: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.kind: int = span.kind
        self.status: int = span.status.code
        self.began: int = span.start_time_unix_nano
        self.ended: int = span.end_time_unix_nano
        self.links = [link.span_id.hex() for link in span.links]
        self.attributes = {
            one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in span.attributes
        }


class Collector:
    """The spans that have come."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        self._news = threading.Condition()

    def take(self, body: bytes) -> None:
        """One export."""
        asked = ExportTraceServiceRequest.FromString(body)
        with self._news:
            self.bodies.append(body)
            for group in asked.resource_spans:
                (service,) = [one.value.string_value for one in group.resource.attributes if one.key == "service.name"]
                self.spans += [Seen(span, service) for scope in group.scope_spans for span in scope.spans]

    def forget(self) -> None:
        """As if none had come."""
        self.spans.clear()
        self.bodies.clear()

    def named(self, *names: str) -> list[Seen]:
        """All spans of these names."""
        return [span for span in self.spans if span.name in names]

    def wait_for(self, name: str, count: int = 1, **attributes: Any) -> list[Seen]:
        """So many spans of this name and with these attributes, once they have come."""

        def found() -> list[Seen]:
            return [
                span
                for span in self.named(name)
                if all(span.attributes.get(key.replace("__", ".")) == value for key, value in attributes.items())
            ]

        until(
            lambda: len(found()) >= count,
            f"{count} spans {name} {attributes}; there are {sorted({s.name for s in self.spans})}",
        )
        return found()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector, while this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
