"""How long a failed job waits before it is tried again: exponential backoff with a bound and jitter, as pure functions."""

import msgspec

from holdfast import limits


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Delay before try n+1 is `base_ms * factor**(n-1)`, at most `max_ms`, moved by up to ± `jitter` of itself."""

    base_ms: int = limits.RETRY_BASE_MS_DEFAULT
    factor: float = limits.RETRY_FACTOR_DEFAULT
    max_ms: int = limits.RETRY_MAX_MS_DEFAULT
    jitter: float = limits.RETRY_JITTER_DEFAULT


def delay_ms(policy: RetryPolicy, failures: int, chance: float) -> int:
    """Milliseconds to wait after the `failures`-th failure (1 = the first). `chance` in [0, 1) decides the jitter."""
    exponent = min(max(failures, 1) - 1, 64)  # past this the bound has long been reached, and floats stay finite
    delay = min(policy.base_ms * policy.factor**exponent, float(policy.max_ms))
    return min(policy.max_ms, max(0, round(delay * (1 + policy.jitter * (2 * chance - 1)))))
