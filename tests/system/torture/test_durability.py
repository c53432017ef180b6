def test_a_complete_job_is_no_violation(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a")
    story.conclude(1)
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_an_acknowledged_job_that_is_never_delivered_is_lost(story):
    story.submit("a", ids=(1,))
    story.listed()
    assert story.found() == {("C1", "lost"), ("C7", "lost")}


def test_a_job_that_was_leased_and_then_vanished_is_lost(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a")
    story.conclude(1)
    story.listed()
    assert story.found() == {("C7", "lost")}


def test_a_job_of_unknown_outcome_may_exist_or_not(story):
    story.unknown("a")
    story.unknown("b")
    story.claim(2, "b")
    story.conclude(2)
    story.listed((2, "b", "concluded"))
    assert story.found() == set()


def test_a_job_that_was_refused_must_not_exist(story):
    story.refused("a")
    story.claim(1, "a")
    story.conclude(1)
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C1", "false refusal")}


def test_a_job_that_no_client_enqueued_is_unexpected(story):
    story.claim(1, "ghost")
    story.conclude(1)
    story.listed((1, "ghost", "concluded"))
    assert story.found() == {("C1", "unexpected")}


def test_a_deleted_job_may_be_gone(story):
    story.submit("a", ids=(1,))
    story.manage("delete", 1)
    story.listed()
    assert story.found() == set()


def test_a_job_with_a_refused_deletion_must_exist(story):
    story.submit("a", ids=(1,))
    story.manage("delete", 1, outcome="fail", status=409, code="wrong_state")
    story.listed()
    assert story.found() == {("C1", "lost"), ("C7", "lost")}


def test_a_deleted_job_that_is_listed_is_a_violation(story):
    story.submit("a", ids=(1,))
    story.manage("delete", 1)
    story.listed((1, "a", "dead"))
    assert story.found() == {("C7", "removal undone")}


def test_a_cancelled_job_that_ran_is_a_violation(story):
    story.submit("a", ids=(1,))
    story.manage("cancel", 1, answer={"state": "cancelled"})
    story.claim(1, "a")
    story.conclude(1)
    story.listed((1, "a", "concluded"))
    assert story.found() == {("C7", "removal undone")}


def test_a_leased_job_with_a_requested_cancellation_may_be_concluded(story):
    story.submit("a", ids=(1,))
    story.claim(1, "a")
    story.manage("cancel", 1, answer={"state": "leased"})
    story.conclude(1)
    story.listed((1, "a", "concluded"))
    assert story.found() == set()


def test_a_job_that_cannot_be_leased_any_more_is_stuck(story):
    story.submit("a", ids=(1,))
    story.listed((1, "a", "leased"))
    assert story.found() == {("C1", "lost"), ("C7", "stuck")}


def test_a_job_that_is_cancelled_although_the_cancel_was_refused_is_a_violation(story):
    story.submit("a", ids=(1,))
    story.manage("cancel", 1, outcome="fail", status=503, code="store_unavailable")
    story.listed((1, "a", "cancelled"))
    assert story.found() == {("C7", "false refusal")}
