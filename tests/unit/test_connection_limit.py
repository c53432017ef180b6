"""Places for connections: who counts as one address, and that a place is given back once."""

import pytest

from holdfast.connection_limit import ConnectionLimit


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe81::1%eth0"),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_network_of_64_bits(first, same, other):
    limit = ConnectionLimit(10, 1, 10)
    place = limit.enter(first)
    assert place is not None
    assert limit.enter(same) is None
    assert limit.enter(other) is not None
    assert limit.refused == {"address": 1}
    place.leave()
    place.leave()
    assert limit.open == 1
    assert limit.enter(same) is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_a_bound_of_its_own(address):
    limit = ConnectionLimit(10, 1, 3)
    assert [limit.enter(address) is not None for _ in range(4)] == [True, True, True, False]


def test_what_has_no_address_is_bounded_only_with_all_others():
    limit = ConnectionLimit(2, 1, 1)
    assert [limit.enter("") is not None for _ in range(3)] == [True, True, False]
    assert limit.refused == {"total": 1}
