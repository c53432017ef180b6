"""Schedules of tasks are set when they differ, and only then."""

from holdfast.client import Charge
from holdfast.tasks import Retry, Tasks


def test_a_schedule_with_options_of_its_jobs_is_set_again_only_when_one_differs(holdfast):
    def worker(**changes):
        tasks = Tasks()
        options = {
            "queue": "reports", "priority": 7, "max_attempts": 3, "retry": Retry(base=1), "lease": 30, "expires": 600, "unique": "tick",
            "unique_while": "queued", "group": "g", "group_limit": 2, "tags": ["night"], "meta": {"team": "a"}, "fair": "ada", "fair_cost": 2,
            "budgets": [Charge("mails", cost=2)],
        }  # fmt: skip

        @tasks.every(3_600)
        @tasks.task(**(options | changes))
        def tick() -> None: ...

        return tasks.worker()

    for _ in range(3):
        holdfast.drain(worker())
    assert len(list(holdfast.client.audit(action="schedule.set"))) == 1
    different = {
        "queue": "other", "priority": 8, "max_attempts": 4, "retry": Retry(base=2), "lease": 31, "expires": 601, "unique": "tack",
        "unique_while": "unfinished", "group": "h", "group_limit": 3, "tags": [], "meta": {}, "fair": "bob", "fair_cost": 3, "budgets": [],
    }  # fmt: skip
    for count, (name, value) in enumerate(different.items(), 1):
        holdfast.drain(worker(**{name: value}))
        holdfast.drain(worker(**{name: value}))
        assert len(list(holdfast.client.audit(action="schedule.set"))) == 2 * count, name
        holdfast.drain(worker())
