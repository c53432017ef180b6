"""C13: nobody who waits is passed over while a job is ready for it."""


def passed_over(story):
    return ("C13", "passed over") in story.found()


def nothing(story, at, **more):
    return story.call("claim", {"queues": ["q"], "request_id": None, **more}, {"jobs": []}, at=at)


def test_a_call_that_begins_when_a_job_is_ready_is_given_it(story):
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    nothing(story, (1.2, 1.3))
    story.claim(1, "a", at=(1.4, 1.5))
    assert passed_over(story)


def test_a_call_that_waits_for_long_beside_a_ready_job_is_passed_over(story):
    nothing(story, (0.0, 9.0))
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    story.claim(1, "a", at=(9.1, 9.2))
    assert passed_over(story)


def test_a_call_that_only_just_missed_a_job_is_not(story):
    nothing(story, (0.0, 3.0))
    nothing(story, (2.5, 2.6))
    story.submit("a", ids=(1,), at=(2.4, 2.7))
    story.claim(1, "a", at=(3.1, 3.2))
    assert not passed_over(story)


def test_what_another_may_have_had_by_then_is_no_evidence(story):
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    nothing(story, (1.2, 1.3))
    story.claim(1, "a", at=(1.25, 1.5))  # it may have been first
    story.submit("b", ids=(2,), at=(2.0, 2.1))
    nothing(story, (2.2, 2.3))
    story.claim(2, "b", attempt=2, at=(2.4, 2.5))  # who had the first attempt is not known
    assert not passed_over(story)


def test_who_has_closed_half_of_its_connection_is_given_nothing(story):
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    nothing(story, (1.2, 1.3), half_closed=True)
    story.claim(1, "a", at=(1.4, 1.5))
    assert not passed_over(story)


def test_a_call_whose_time_is_up_while_the_store_is_away_is_given_nothing(story):
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    story.history.event("primary lost", since=1.15)
    nothing(story, (1.2, 1.3))
    story.claim(1, "a", at=(1.4, 1.5))
    assert not passed_over(story)


def test_a_claim_whose_answer_was_lost_had_the_job_before_it_was_repeated(story):
    again = {"queues": ["q"], "request_id": "r-1"}
    told = {"id": 1, "value": "a", "queue": "q", "attempt": 1, "token": "1.1", "ms_left": 900}
    story.call("claim", again, outcome="info", status=None, at=(0.5, 1.2))
    story.submit("a", ids=(1,), at=(1.0, 1.1))
    nothing(story, (1.2, 1.3))
    story.call("claim", again, {"jobs": [told]}, at=(1.4, 1.5))
    assert not passed_over(story)
