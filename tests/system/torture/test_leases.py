import pytest

RETURNED = {"answer": {"state": "ready"}}


def test_two_attempts_one_after_the_other_are_no_violation(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a", attempt=1)
    story.use("release", 1, attempt=1, **RETURNED)
    story.claim(1, "a", attempt=2)
    story.conclude(1, attempt=2)
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_two_tokens_that_conclude_one_job_are_a_violation(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=1000, at=(1, 2))
    story.claim(1, "a", attempt=2, at=(4, 5))
    story.conclude(1, attempt=2, at=(6, 7))
    story.conclude(1, attempt=1, at=(6, 7))
    story.listed((1, "a", "concluded"))
    assert ("C2", "concluded twice") in story.found()
    assert ("C2", "stale token") in story.found()


def test_a_stale_token_that_concludes_during_a_newer_lease_is_a_violation(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=1000, at=(1, 2))
    story.claim(1, "a", attempt=2, at=(4, 5))
    story.conclude(1, attempt=1, at=(6, 7))
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C2", "stale token"), ("C2", "expired token")}


def test_a_stale_token_that_is_refused_is_no_violation(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=1000, at=(1, 2))
    story.claim(1, "a", attempt=2, at=(4, 5))
    story.conclude(1, attempt=1, at=(6, 7), outcome="fail", status=409, code="lease_lost")
    story.conclude(1, attempt=2, at=(7, 8))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_a_conclude_repeated_after_a_lost_answer_is_no_violation_however_late(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", ms_left=1000, at=(1, 2))
    story.conclude(1, at=(2, 2.5), outcome="info", status=None, code="broken")
    story.conclude(1, at=(9, 10))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_an_extended_lease_lasts_longer(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", ms_left=1000, at=(1, 2))
    story.use("extend", 1, answer={"ms_left": 60_000}, at=(2, 2.5))
    story.conclude(1, at=(20, 21))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_a_holder_refused_before_the_lease_expires_is_a_violation(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", ms_left=10_000, at=(1, 2))
    story.conclude(1, at=(3, 4), outcome="fail", status=409, code="lease_lost")
    story.claim(1, "a", attempt=2, at=(30, 31))
    story.conclude(1, attempt=2, at=(31, 32))
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C2", "holder refused")}


def test_a_concluded_job_without_an_accepted_conclude_is_a_violation(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a")
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C2", "concluded by nobody")}


def test_a_job_that_runs_again_after_its_conclusion_is_a_violation(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a", attempt=1)
    story.conclude(1, attempt=1)
    story.claim(1, "a", attempt=2)
    story.listed((1, "a", "dead"))
    assert story.found() == {("C2", "conclusion lost")}


def test_two_holders_at_once_are_a_violation(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=10_000, at=(1, 2))
    story.claim(1, "a", attempt=2, ms_left=10_000, at=(3, 4))
    story.conclude(1, attempt=2, at=(5, 6))
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C3", "overlapping leases")}


def test_a_repeated_lease_request_is_one_lease(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", ms_left=10_000, at=(1, 2))
    story.claim(1, "a", ms_left=9_000, at=(2, 3))
    story.conclude(1, at=(4, 5))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_the_lease_of_a_long_poll_starts_when_it_may_have_been_granted(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=1000, at=(1, 9))
    story.claim(1, "a", attempt=2, ms_left=1000, at=(9.1, 9.2))
    story.conclude(1, attempt=2, at=(9.3, 9.4))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


@pytest.mark.parametrize("attempts", [(2, 1), (1, 1)])
def test_an_attempt_that_does_not_grow_is_a_violation(story, attempts):
    story.submit("a", ids=(1,))
    for number, attempt in enumerate(attempts):
        story.claim(1, "a", attempt=attempt, token=f"t{number}")
        story.call("release", {"job": 1, "attempt": attempt, "token": f"t{number}"}, {"state": "ready"})
    story.listed((1, "a", "dead"))
    assert ("C4", "attempts shrink") in story.found()


@pytest.mark.parametrize(("again", "found"), [(14, set()), (60, {("C8", "late return")})])
def test_an_abandoned_lease_must_expire_in_time(story, again, found):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, ms_left=10_000, at=(1, 2))
    story.healed(at=3)
    story.claim(1, "a", attempt=2, at=(again, again + 0.5))
    story.conclude(1, attempt=2, at=(again + 1, again + 2))
    story.listed((1, "a", "concluded"))
    assert story.found() == found


def test_a_failure_repeated_after_a_lost_answer_may_find_the_job_running_again(story):
    story.submit("a", ids=(1,), at=(0, 1))
    story.claim(1, "a", attempt=1, at=(1, 2))
    story.use("fail", 1, attempt=1, at=(2, 2.5), outcome="info", status=None, code="broken")
    story.claim(1, "a", attempt=2, at=(3, 4))
    story.use("fail", 1, attempt=1, answer={"state": "leased"}, at=(5, 6))
    story.conclude(1, attempt=2, at=(7, 8))
    story.listed((1, "a", "concluded"))
    assert story.found() == set()
