"""Backoff as arithmetic: bounded, growing, and moved by no more than the jitter that was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast import limits
from holdfast.job.retry import RetryPolicy, delay_ms

millis = st.integers(0, limits.DELAY_MS_MAX)
policies = st.builds(
    RetryPolicy,
    base_ms=millis,
    factor=st.floats(1, limits.RETRY_FACTOR_MAX),
    max_ms=millis,
    jitter=st.floats(0, 1),
)
failures = st.integers(1, limits.ATTEMPTS_MAX)
chances = st.floats(0, 1, exclude_max=True)


@given(policies, failures, chances)
def test_a_delay_is_never_negative_and_never_above_its_bound(policy, count, chance):
    assert 0 <= delay_ms(policy, count, chance) <= policy.max_ms


@given(policies, failures, chances)
def test_a_later_failure_never_waits_shorter_than_an_earlier_one(policy, count, chance):
    assert delay_ms(policy, count, chance) <= delay_ms(policy, count + 1, chance)


@given(policies, failures, chances)
def test_jitter_moves_a_delay_by_at_most_its_share(policy, count, chance):
    plain = delay_ms(RetryPolicy(policy.base_ms, policy.factor, policy.max_ms, 0.0), count, 0.0)
    moved = delay_ms(policy, count, chance)
    assert plain * (1 - policy.jitter) - 1 <= moved <= plain * (1 + policy.jitter) + 1


@given(policies, failures, chances, chances)
def test_without_jitter_chance_decides_nothing(policy, count, one, other):
    steady = RetryPolicy(policy.base_ms, policy.factor, policy.max_ms, 0.0)
    assert delay_ms(steady, count, one) == delay_ms(steady, count, other)


def test_the_delay_grows_by_the_factor_until_the_bound():
    policy = RetryPolicy(base_ms=1_000, factor=3.0, max_ms=20_000, jitter=0.0)
    assert [delay_ms(policy, count, 0.5) for count in range(1, 6)] == [1_000, 3_000, 9_000, 20_000, 20_000]


def test_jitter_reaches_both_of_its_ends():
    policy = RetryPolicy(base_ms=10_000, factor=1.0, max_ms=100_000, jitter=0.2)
    assert delay_ms(policy, 1, 0.0) == 8_000
    assert delay_ms(policy, 1, 0.5) == 10_000
    assert delay_ms(policy, 1, 0.999_999_9) == 12_000


def test_the_defaults_begin_at_five_seconds_and_end_at_an_hour():
    assert [delay_ms(RetryPolicy(), count, 0.5) for count in (1, 2, 3)] == [5_000, 10_000, 20_000]
    assert delay_ms(RetryPolicy(), 60, 0.5) == 3_600_000
