"""The state of a front that its handlers use."""

from typing import Any

from holdfast.doors.rest import replies
from holdfast.engine.engine import Engine
from holdfast.http.app import Metrics
from holdfast.http.route import Route
from holdfast.tls import Certificate


class AppState:
    """One front's engine and metrics; `home` is the start page's path, `environment` the name shown on the page. `cached` are
    objects made once.
    """

    __slots__ = (
        "cached",
        "certificate",
        "durability",
        "engine",
        "environment",
        "home",
        "location",
        "metrics",
        "root_path",
        "routes",
    )

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        root_path: str,
        home: str,
        environment: str,
        certificate: Certificate | None = None,
    ) -> None:
        self.engine = engine
        self.metrics = metrics
        self.root_path = root_path.rstrip("/")
        self.home = home
        self.environment = environment
        self.certificate = certificate
        self.routes: list[Route] = []
        self.durability = replies.durability_out(engine.durability)
        self.location = f"{self.root_path}/v1/jobs/%d".encode()
        self.cached: dict[str, Any] = {}
