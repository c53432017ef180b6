"""Lease tokens as text: what is given out is read back as it was, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import limits
from holdfast.job.job import LeaseRef

ids = st.integers(1, limits.ID_MAX)
refs = st.builds(
    LeaseRef, job=ids, attempt=st.integers(1, limits.ATTEMPTS_MAX), fence=ids, secret=st.binary(min_size=16, max_size=16)
)
TOKEN = LeaseRef(12, 3, 45, bytes(range(16))).token()


@given(refs)
def test_a_token_that_was_given_out_is_read_back_as_the_same_lease(ref):
    assert LeaseRef.parse(ref.token()) == ref


def test_a_token_names_job_attempt_fence_and_a_secret_of_128_bits():
    assert TOKEN == "12.3.45.000102030405060708090a0b0c0d0e0f"


@given(refs)
def test_the_largest_numbers_still_fit_in_a_token_that_is_read(ref):
    largest = LeaseRef(limits.ID_MAX, limits.ID_MAX, limits.ID_MAX, ref.secret)
    assert LeaseRef.parse(largest.token()) == largest


@given(st.text(max_size=120))
def test_any_text_is_either_no_token_or_one_that_says_the_same_when_written_again(text):
    ref = LeaseRef.parse(text)
    assert ref is None or LeaseRef.parse(ref.token()) == ref


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        ".",
        "...",
        "12.3.45",
        TOKEN + ".1",
        "a.3.45.00",
        "12.b.45.00",
        "12.3.c.00",
        "12.3.45.xyz",
        "12.3.45.0",
        "-12.3.45.00",
        "0.3.45.00",
        "12.3.0.00",
        f"{limits.ID_MAX + 1}.3.45.00",
        f"12.3.{limits.ID_MAX + 1}.00",
        "1" * 101,
        "9" * 5_000 + ".1.1.00",
        "１２.3.45.00",
        "12.3.45.00\N{COMBINING ACUTE ACCENT}",
    ],
    ids=lambda text: text[:30],
)
def test_what_can_not_be_a_token_is_read_as_none(garbage):
    assert LeaseRef.parse(garbage) is None


@pytest.mark.parametrize("attempt", ["-3", str(10**40)])
def test_an_attempt_that_no_job_can_have_is_no_token(attempt):
    assert LeaseRef.parse(f"12.{attempt}.45.{'00' * 16}") is None
