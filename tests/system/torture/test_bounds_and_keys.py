import pytest


def run_jobs(story, *jobs: int) -> None:
    """Lease and conclude each job, one after the other."""
    for job in jobs:
        story.claim(job, f"v{job}")
        story.conclude(job)
    story.listed(*((job, f"v{job}", "concluded") for job in jobs))


def test_a_queue_filled_to_its_bound_is_no_violation(story):
    story.bound(2)
    story.submit("v1", ids=(1,))
    story.submit("v2", ids=(2,))
    story.refused("v3")
    run_jobs(story, 1, 2)
    assert story.found() == set()


def test_a_queue_that_accepts_more_than_its_bound_is_a_violation(story):
    story.bound(2)
    for job in (1, 2, 3):
        story.submit(f"v{job}", ids=(job,))
    run_jobs(story, 1, 2, 3)
    assert story.found() == {("C6", "bound exceeded")}


def test_a_queue_that_reports_more_than_its_bound_is_a_violation(story):
    story.bound(2)
    story.call("count", {"queue": "q"}, {"counts": {"scheduled": 1, "ready": 1, "leased": 1}})
    assert story.found() == {("C6", "bound exceeded")}


def test_a_job_that_may_have_left_makes_room(story):
    story.bound(1)
    story.submit("v1", ids=(1,), at=(0, 1))
    story.claim(1, "v1", at=(1, 2))
    story.conclude(1, at=(2, 5))
    story.submit("v2", ids=(2,), at=(3, 4))
    story.claim(2, "v2", at=(6, 7))
    story.conclude(2, at=(8, 9))
    story.listed((1, "v1", "concluded"), (2, "v2", "concluded"))
    assert story.found() == set()


def test_a_released_job_still_counts_towards_the_bound(story):
    story.bound(1)
    story.submit("v1", ids=(1,))
    story.claim(1, "v1", attempt=1)
    story.use("release", 1, attempt=1, answer={"state": "ready"})
    story.submit("v2", ids=(2,))
    story.claim(1, "v1", attempt=2)
    story.conclude(1, attempt=2)
    story.claim(2, "v2")
    story.conclude(2)
    story.listed((1, "v1", "concluded"), (2, "v2", "concluded"))
    assert story.found() == {("C6", "bound exceeded")}


def test_a_refusal_while_there_is_room_is_a_violation(story):
    story.bound(2)
    story.submit("v1", ids=(1,))
    story.refused("v2")
    run_jobs(story, 1)
    assert story.found() == {("C6", "refused with room")}


def test_a_refusal_is_correct_while_a_job_of_unknown_outcome_may_fill_the_queue(story):
    story.bound(2)
    story.submit("v1", ids=(1,))
    story.unknown("v2")
    story.refused("v3")
    run_jobs(story, 1)
    assert story.found() == set()


def test_a_key_repeated_after_a_lost_answer_has_one_job(story):
    story.unknown("v1", key="k")
    story.submit("v1", ids=(1,), key="k")
    story.submit("v1", ids=(1,), key="k")
    run_jobs(story, 1)
    assert story.found() == set()


def test_a_key_with_two_jobs_is_a_violation(story):
    story.unknown("v1", key="k")
    story.submit("v1", ids=(2,), key="k")
    story.claim(1, "v1")
    story.conclude(1)
    story.claim(2, "v1")
    story.conclude(2)
    story.listed((1, "v1", "concluded"), (2, "v1", "concluded"))
    assert story.found() == {("C9", "duplicate")}


def test_a_key_that_is_answered_with_another_job_is_a_violation(story):
    story.submit("v1", ids=(1,), key="k")
    story.submit("v2", ids=(2,), key="k")
    run_jobs(story, 1, 2)
    assert story.found() == {("C9", "duplicate")}


@pytest.mark.parametrize(("second", "found"), [(5, {("C9", "duplicate")}), (20, set())])
def test_one_unfinished_job_per_unique_key(story, second, found):
    story.submit("v1", ids=(1,), unique="u", at=(0, 1))
    story.claim(1, "v1", at=(2, 3))
    story.submit("v2", ids=(2,), unique="u", at=(second, second + 1))
    story.conclude(1, at=(8, 9))
    story.claim(2, "v2", at=(30, 31))
    story.conclude(2, at=(32, 33))
    story.listed((1, "v1", "concluded"), (2, "v2", "concluded"))
    assert story.found() == found


def test_a_bulk_of_unknown_outcome_may_be_complete(story):
    story.unknown("v1", "v2")
    run_jobs(story, 1, 2)
    assert story.found() == set()


def test_a_bulk_that_was_enqueued_in_part_is_a_violation(story):
    story.unknown("v1", "v2")
    run_jobs(story, 1)
    assert story.found() == {("C10", "torn bulk")}


def test_a_bulk_answered_with_fewer_jobs_is_a_violation(story):
    story.submit("v1", "v2", ids=(1,))
    run_jobs(story, 1, 2)
    assert story.found() == {("C10", "torn bulk")}


@pytest.mark.parametrize(
    ("status", "code"), [(500, "internal_error"), (503, "a_new_code"), (400, "invalid_request"), (404, None)]
)
def test_an_answer_that_is_not_in_the_contract_is_a_violation(story, status, code):
    story.refused("v1", status=status, code=code)
    assert story.found() == {("C0", "strange answer")}


def test_a_retried_dead_job_counts_towards_the_bound_again(story):
    story.bound(1)
    story.submit("v1", ids=(1,))
    story.claim(1, "v1", attempt=1)
    story.use("fail", 1, attempt=1, answer={"state": "dead"})
    story.manage("retry", 1, answer={"state": "ready"})
    story.refused("v2")
    story.claim(1, "v1", attempt=2)
    story.conclude(1, attempt=2)
    story.listed((1, "v1", "concluded"))
    assert story.found() == set()
