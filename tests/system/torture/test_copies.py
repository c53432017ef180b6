"""C12: what is answered as done while the harness leaves too few standbys able to write can't be on them."""


def spell(story, able, at, needed=1):
    story.history.event("copies", able=able, needed=needed)
    story.history.events[-1].at = at


def few(story):
    return ("C12", "too few copies") in story.found()


def test_an_answer_within_a_period_without_standbys_is_a_violation(story):
    spell(story, 2, 0.0)
    spell(story, 0, 10.0)
    spell(story, 2, 20.0)
    story.submit("a", ids=(1,), at=(11.0, 12.0))
    assert few(story)


def test_an_answer_to_a_request_from_before_or_after_the_period_is_no_violation(story):
    spell(story, 0, 10.0)
    spell(story, 2, 20.0)
    story.submit("a", ids=(1,), at=(9.0, 12.0))
    story.submit("b", ids=(2,), at=(11.0, 21.0))
    assert not few(story)


def test_a_refusal_and_an_unknown_outcome_promise_nothing(story):
    spell(story, 0, 10.0)
    story.refused("a", code="not_replicated", status=503, at=(11.0, 12.0))
    story.unknown("b", at=(11.0, 12.0))
    assert not few(story)


def test_one_standby_is_too_few_for_two_copies_and_enough_for_one(story):
    spell(story, 1, 10.0, needed=2)
    spell(story, 1, 20.0, needed=1)
    story.submit("a", ids=(1,), at=(21.0, 22.0))
    assert not few(story)
    story.conclude(1, at=(11.0, 12.0))
    assert few(story)


def test_a_claim_that_finds_nothing_promises_nothing(story):
    spell(story, 0, 10.0)
    story.call("claim", {"queues": ["q"], "request_id": None}, {"jobs": []}, at=(11.0, 12.0))
    assert not few(story)
    story.claim(1, "a", at=(11.0, 12.0))
    assert few(story)
