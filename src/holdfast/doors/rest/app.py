"""All HTTP doors put together: their routes, and the common steps before them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import parse_qsl

from holdfast.auth.actor import ACTOR, Actor
from holdfast.connection_limit import ConnectionLimit
from holdfast.doors.rest import (
    audit,
    bodies,
    budgets,
    docs,
    failures,
    fair,
    hot,
    interests,
    job_batches,
    keys,
    operations,
    routes,
    schedules,
    system,
    workers,
)
from holdfast.doors.rest.login import ByCookie, Login
from holdfast.doors.rest.state import AppState
from holdfast.doors.websocket import routes as channel
from holdfast.doors.websocket.door import Channels
from holdfast.doors.websocket.upgrade import ChannelUpgrade
from holdfast.engine.submitter import BULK
from holdfast.errors import breach
from holdfast.http.app import App
from holdfast.http.origin import Guard
from holdfast.http.request import Request
from holdfast.http.route import Refuse, Route, refuse_as_problem
from holdfast.http.router import Router
from holdfast.limits import BODY_S, CONNECTIONS, REQUEST_ID_CHARS
from holdfast.messages.audit import Bulk
from holdfast.trace_context import trace_id

ROUTES: list[Route] = [
    *hot.ROUTES,
    *routes.ROUTES,
    *interests.ROUTES,
    *workers.ROUTES,
    *schedules.ROUTES,
    *operations.ROUTES,
    *job_batches.ROUTES,
    *budgets.ROUTES,
    *fair.ROUTES,
    *audit.ROUTES,
    *failures.ROUTES,
    *keys.ROUTES,
    *system.ROUTES,
    *docs.ROUTES,
    *channel.ROUTES,
]
"""Native HTTP."""

# A GET here changes nothing, so a HEAD may be answered as one. Other doors have a GET that claims.
_READ_ONLY = ("/v1/", "/web", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True)
class Dialect:
    """Another door over the same engine: its routes, its error format, and which of its GETs take jobs."""

    routes: Sequence[Route]
    refuse: Refuse = refuse_as_problem
    claiming: frozenset[str] = frozenset()

    def rows(self) -> list[Route]:
        """Its routes, which refuse as it does."""
        return [replace(route, refuse=self.refuse) for route in self.routes]


def build(
    state: AppState,
    guard: Guard,
    channels: Channels,
    dialects: Sequence[Dialect] = (),
    limit: ConnectionLimit | None = None,
    body_s: float = BODY_S,
    by_cookie: ByCookie | None = None,
    kind: type[App] = App,
) -> App:
    """All doors of one front."""
    state.routes = [*ROUTES, *chain.from_iterable(dialect.rows() for dialect in dialects)]
    return kind(
        Router(state.routes, _READ_ONLY),
        state,
        guard,
        state.metrics,
        state.engine.budget,
        limit or ConnectionLimit(CONNECTIONS, CONNECTIONS, CONNECTIONS),
        state.engine.payload_bytes,
        body_s,
        state.root_path,
        Login(state.engine.keyring, by_cookie),
        _enter,
        bodies.read_in_turns,
        ChannelUpgrade(channels),
    )


def _enter(request: Request) -> None:
    """Set the actor and the run of a request, for the audit log. Behind a proxy the address is the proxy's: anybody can write
    an `X-Forwarded-For`.
    """
    name = "" if request.caller is None else request.caller.key.name
    ACTOR.set(Actor(name, request.address, "http", trace_id() or ""))
    run = request.headers.get(b"holdfast-run")
    BULK.set(None if run is None else _bulk(run))  # behind another request the context is what that one has left


def _bulk(run: bytes) -> Bulk:
    """The run that a caller names for a request: all requests of one run are one entry of the audit log."""
    try:
        pairs = parse_qsl(run.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=3, keep_blank_values=True)
    except (ValueError, UnicodeDecodeError):
        pairs = []
    given = dict(pairs)
    if (
        len(given) < len(pairs)
        or not given.keys() <= {"run", "target", "queue"}
        or not 1 <= len(given.get("run", "")) <= REQUEST_ID_CHARS
    ):
        raise breach(
            "Holdfast-Run", f"must be run=TEXT of 1 to {REQUEST_ID_CHARS} characters, with target and queue at will, each once"
        )
    return Bulk(given["run"], given.get("target", ""), given.get("queue", ""))
