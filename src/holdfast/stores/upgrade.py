"""What this version would do to a store, and about what it takes: an `UpgradePlan`, for `holdfast upgrade --check`."""

import msgspec

from holdfast.stores.steps import Step


class PlannedStep(msgspec.Struct, frozen=True):
    """One step. `rows` is how many are written anew; `older_nodes` whether nodes of a version before `stay` or must `stop`."""

    step: int
    kind: str
    does: str
    rewrites: tuple[str, ...]
    locks: tuple[str, ...]
    rows: int
    seconds: float
    older_nodes: str


class ConnectedNodes(msgspec.Struct, frozen=True):
    """Nodes that know the same schema. `stay`: they can serve beside what is planned."""

    schema: int
    versions: str
    nodes: int
    stay: bool


class UpgradePlan(msgspec.Struct, kw_only=True):
    """All of it. `schema` and `made_by` are the store's, `holdfast` and `newest` those of this program; `later` is left to the release after it.

    `room_bytes`: how much the store or its log grows meanwhile; `free_bytes`: how much its disk has, None where that can't be seen.
    """

    store: str
    schema: int
    made_by: str
    holdfast: str
    newest: int
    jobs: int = 0
    steps: list[PlannedStep] = []
    later: list[PlannedStep] = []
    seconds: float = 0.0
    room_bytes: int = 0
    free_bytes: int | None = None
    nodes: list[ConnectedNodes] = []
    obstacles: list[str] = []


def planned(step: Step, rows: int, row_s: float, older_nodes: str) -> PlannedStep:
    """A step that writes so many rows anew."""
    return PlannedStep(
        step.number, step.kind, step.summary, step.rewrites, step.locks, rows, round(STEP_S + rows * row_s, 2), older_nodes
    )


STEP_S = 0.05
"""A step that only adds a table or a column: a flush or two."""
