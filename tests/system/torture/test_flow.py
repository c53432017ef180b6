"""C14 to C17: budgets, batches, deadlines and fair shares."""

import pytest

RATE = {"limit": 10, "per_ms": 1000, "burst": 2}


def paid(story, name="rate", cost=1, key=None):
    return [{"name": name, "cost": cost} | ({"key": key} if key else {})]


def enqueue(story, value, job, at=(0.0, 0.1), **more):
    asked = {"jobs": [{"value": value, "queue": "q", **more}], "key": None}
    return story.call("submit", asked, {"ids": [job]}, at=at)


def start(story, number, at, name="rate", **more):
    enqueue(story, f"v{number}", number, budgets=paid(story, name, **more))
    return story.claim(number, f"v{number}", at=at)


def budget(story, name="rate", **policy):
    story.call("set_budget", {"budget": name, **policy}, at=(0.0, 0.0))


def overdrawn(story):
    return ("C14", "budget overdrawn") in story.found()


def test_no_more_is_held_than_the_limit(story):
    budget(story, "two", limit=2)
    for number in (1, 2):
        start(story, number, (1.0, 1.1), "two")
    start(story, 3, (1.2, 1.3), "two")
    assert overdrawn(story)


def test_each_key_has_an_account_of_its_own_and_a_unit_is_free_when_its_lease_may_have_ended(story):
    budget(story, "one", limit=1)
    start(story, 1, (1.0, 1.1), "one")
    start(story, 2, (1.0, 1.1), "one", key="a")
    story.use("fail", 1, outcome="info", status=None, at=(1.2, 9.0))
    start(story, 3, (1.3, 1.4), "one")
    assert not overdrawn(story)


def test_no_more_is_started_than_was_saved_up_and_refilled(story):
    budget(story, **RATE)
    start(story, 1, (1.0, 1.01))
    start(story, 2, (1.01, 1.02))
    start(story, 3, (1.05, 1.06))
    assert overdrawn(story)


def test_as_much_is_started_as_was_saved_up_and_refilled(story):
    budget(story, **RATE)
    start(story, 1, (1.0, 1.01))
    start(story, 2, (1.01, 1.02))
    start(story, 3, (1.10, 1.13))
    assert not overdrawn(story)


def test_a_job_that_costs_more_is_counted_as_that(story):
    budget(story, **RATE)
    start(story, 1, (1.0, 1.01), cost=2)
    start(story, 2, (1.01, 1.02))
    assert overdrawn(story)


def test_a_release_gives_back_what_the_start_took(story):
    budget(story, **RATE)
    for number in (1, 2):
        start(story, number, (1.0, 1.01))
    story.use("release", 1, at=(1.01, 1.02))
    start(story, 3, (1.03, 1.04))
    assert not overdrawn(story)


def test_a_clock_that_was_set_refills_a_rate(story):
    budget(story, **RATE)
    story.history.event("clock set", by_s=3600)
    for number in (1, 2, 3, 4):
        start(story, number, (1.0, 1.01))
    assert not overdrawn(story)


@pytest.mark.parametrize(("more", "found"), [({}, True), ({"key": "another"}, False)])
def test_nothing_starts_while_its_account_is_blocked(story, more, found):
    budget(story, **RATE | {"burst": 9})
    start(story, 1, (1.0, 1.1))
    story.call(
        "release",
        {"job": 1, "attempt": 1, "token": "1.1", "block": {"budget": "rate", "for_ms": 1000}},
        {"state": "ready"},
        at=(1.2, 1.3),
    )
    start(story, 2, (1.25, 1.9))
    start(story, 3, (2.1, 2.4))
    start(story, 4, (1.4, 1.5), **more)
    assert overdrawn(story) is found


class Batch:
    """A batch with two members and a closing job of each kind."""

    def __init__(self, story, **counts):
        self.story = story
        closing = {on: {"value": on, "queue": "closing"} for on in ("on_success", "on_finish", "on_failure")}
        asked = {"name": "b", "jobs": [{"value": v, "queue": "q"} for v in ("m1", "m2")], "closed": True, "closing": closing}
        story.call("batch", asked, {"id": 10, "ids": [1, 2]}, at=(0.0, 0.1))
        self.shown = {
            "id": 10,
            "name": "b",
            "state": "finished",
            "pending": 0,
            "concluded": 2,
            "dead": 0,
            "cancelled": 0,
            **counts,
        }

    def ends(self, *closing, states=("concluded", "concluded")):
        for number in (1, 2):
            self.story.claim(number, f"m{number}", at=(1.0, 1.1))
            self.story.conclude(number, at=(2.0, 2.1))
        members = [(number, f"m{number}", state) for number, state in zip((1, 2), states, strict=True)]
        self.story.listed(*members, *[(20 + n, on, "concluded") for n, on in enumerate(closing)])
        self.story.history.event("batches", batches=[self.shown])
        return {kind for checker, kind in self.story.found() if checker == "C15"}


def test_a_closing_job_comes_once(story):
    assert not Batch(story).ends("on_finish", "on_success")


def test_a_closing_job_that_is_missing(story):
    assert Batch(story).ends("on_finish") == {"closing job missing"}


def test_a_closing_job_that_came_twice(story):
    assert Batch(story).ends("on_finish", "on_finish", "on_success") == {"closing job twice"}


def test_a_closing_job_that_was_not_due(story):
    assert Batch(story).ends("on_finish", "on_success", "on_failure") == {"closing job wrong"}


def test_a_closing_job_before_the_last_member_has_ended(story):
    batch = Batch(story)
    story.claim(20, "on_finish", at=(1.5, 1.6))
    assert batch.ends("on_finish", "on_success") == {"closing job early"}


def test_a_batch_that_counts_something_else_than_its_members(story):
    assert Batch(story, concluded=1).ends("on_finish", "on_success") == {"batch miscounted"}


def test_a_batch_that_is_not_finished_when_all_members_are(story):
    assert "batch stuck" in Batch(story, state="closed", pending=1).ends("on_finish", "on_success")


def test_a_batch_that_was_acknowledged_and_is_not_there(story):
    batch = Batch(story)
    batch.shown["name"] = "another"
    assert "batch lost" in batch.ends("on_finish", "on_success")


def expired(story):
    return {kind for checker, kind in story.found() if checker == "C16"}


def test_a_job_that_starts_when_its_deadline_may_not_have_passed(story):
    enqueue(story, "a", 1, at=(1.0, 1.1), expires_in_ms=500)
    story.claim(1, "a", at=(1.55, 1.8))
    assert not expired(story)


def test_a_job_that_starts_after_its_deadline(story):
    enqueue(story, "b", 2, at=(1.0, 1.1), expires_in_ms=500)
    story.claim(2, "b", at=(1.65, 1.8))
    assert expired(story) == {"expired job run"}


def test_a_job_that_expires_before_its_deadline(story):
    enqueue(story, "a", 1, at=(1.0, 1.1), expires_in_ms=3_600_000)
    story.listed((1, "a", "cancelled"))
    story.history.events[-1].at = 5.0
    assert expired(story) == {"expired too soon"}


def shared(story, others, own=0):
    """A small tenant's job waits while so many of the large one's are started, and so many of its own."""
    story.call("set_queue", {"queue": "q", "settings": {"fair": True}}, at=(0.0, 0.0))
    for number in range(1, 1 + others + own):
        enqueue(story, f"v{number}", number, fair_key="large" if number <= others else "small")
    enqueue(story, "late", 99, at=(1.0, 1.1), fair_key="small")
    numbers = list(range(1, 1 + others))
    for number in range(own):  # in turn, as far as they go
        numbers.insert(4 * number + 3, 1 + others + number)
    for place, number in enumerate(numbers):
        story.claim(number, f"v{number}", at=(2.0 + place, 2.1 + place))
    story.claim(99, "late", at=(90.0, 90.1))
    return ("C17", "tenant starved") in story.found()


@pytest.mark.parametrize(("others", "own", "found"), [(6, 0, False), (12, 0, True), (12, 4, False), (20, 4, True)])
def test_a_job_that_waits_behind_the_many_of_another(story, others, own, found):
    assert shared(story, others, own) is found
