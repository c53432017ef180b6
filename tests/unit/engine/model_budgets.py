"""What blocks of budgets should do, in plain Python: nothing that names a blocked account starts. The budgets are so large that nothing else keeps a job."""

from holdfast.job.budget import Block, Budget, Charge, with_charges
from holdfast.job.job import NewJob
from holdfast.messages.budget_commands import BlockBudget
from tests.unit.engine.model_routing import No

BUDGETS = {"rate": Budget("rate", 1_000_000, 1_000, 1_000_000), "held": Budget("held", 1_000_000, None, 1_000_000)}
CHARGES = (
    (Charge("rate"),),
    (Charge("held", "k", 3),),
    (Charge("rate", "k"), Charge("held")),
    (Charge("held", "k"), Charge("rate", "k", 2)),
)


class Budgets:
    """The blocks of a model, by account."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: dict[str, int] = {}

    def costs(self, new: NewJob) -> tuple[Charge, ...]:
        return with_charges(new.extras.budgets, self.policies[new.queue].budgets)

    def is_blocked(self, row) -> bool:
        return any(self.blocked.get(named, 0) > self.now for charge in row.budgets for named in (charge.name, charge.account))

    def block(self, named: str, for_ms: int) -> None:
        self.blocked[named] = max(self.blocked.get(named, 0), self.now + for_ms)

    def heed(self, row, word: Block | None) -> None:
        """The word of the job's holder, who may speak of its own accounts only."""
        if word is None:
            return
        mine = [charge.account for charge in row.budgets if charge.name == word.budget]
        named = mine[0] if word.key is None and mine else f"{word.budget}/{word.key or ''}"
        if named not in mine:
            raise No("invalid_request")
        self.block(named, word.for_ms)

    def unblock(self, name: str, key: str | None) -> None:
        if key is not None:
            self.blocked.pop(f"{name}/{key}", None)
            return
        for named in [one for one in self.blocked if one.partition("/")[0] == name]:
            del self.blocked[named]

    def BlockBudget(self, command: BlockBudget) -> int:  # noqa: N802
        self.block(command.name if command.key is None else f"{command.name}/{command.key}", command.for_ms or 0)
        return 1
