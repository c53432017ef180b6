"""The keyring of a front: which key a header belongs to, when keys end, and the bounds of failed logins and requests."""

import base64

import pytest
from msgspec.structs import replace

from holdfast import limits
from holdfast.auth import keys, session
from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability, Key
from holdfast.errors import Forbidden, RateLimited, StoreUnavailable, Unauthorized


class Wall:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def keyring(wall):
    return Keyring(wall)


def made(name="ci", secret=None, **fields):
    secret = secret or keys.new_secret()
    given = {"abilities": (Ability.READ,), "queues": ("*",), "hashes": (keys.hash_of(secret),), "created_at": 0}
    return Key(id=f"key-{name}", name=name, **(given | fields)), secret


def bearer(secret):
    return b"Bearer " + secret.encode()


def test_without_any_key_no_request_needs_one(keyring):
    assert not keyring.in_force
    keyring.take(3, [])
    assert not keyring.in_force


def test_a_key_is_accepted_as_a_bearer_token_and_as_a_password(keyring):
    key, secret = made()
    keyring.take(1, [key])
    basic = base64.b64encode(b"anybody:" + secret.encode())
    for header in (bearer(secret), b"bearer  " + secret.encode(), b"Basic " + basic, b"basic " + basic):
        assert keyring.caller_by_header(header, "::1").key is key
        assert keyring.caller_by_header(header, "::1").key is key, "and again, from the cache"


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer hf_wrong",
        b"Digest abc",
        b"Basic ",
        b"Basic %%%",
        b"Basic " + base64.b64encode(b"no-colon"),
        b"Basic " + base64.b64encode(b"user:"),
        b"Bearer " + b"x" * limits.KEY_HEADER_BYTES,
        b"Bearer \xff\xfe",
    ],
)
def test_a_header_without_a_valid_key_is_refused(keyring, header):
    keyring.take(1, [made()[0]])
    with pytest.raises(Unauthorized):
        keyring.caller_by_header(header, "::1")


def test_keys_stay_in_force_when_the_last_is_revoked(keyring):
    key, secret = made()
    keyring.take(1, [key])
    keyring.take(2, [])
    assert keyring.in_force, "revoking must not open a server"
    with pytest.raises(Unauthorized):
        keyring.caller_by_header(bearer(secret), "::1")


def test_requests_are_refused_until_the_keys_are_loaded(keyring):
    keyring.await_load()
    assert keyring.in_force
    with pytest.raises(StoreUnavailable):
        keyring.caller_by_header(bearer(keys.new_secret()), "::1")
    keyring.take(1, [])
    assert not keyring.in_force


def test_what_a_revoked_key_has_open_is_closed_at_once(keyring):
    key, secret = made()
    keyring.take(1, [key])
    caller = keyring.caller_by_header(bearer(secret), "::1")
    told = []
    caller.opened("stream", told.append)
    caller.opened("poll", told.append)
    caller.closed("poll")
    keyring.take(2, [made("other")[0]])
    assert [type(error) for error in told] == [Unauthorized]
    with pytest.raises(Unauthorized, match="revoked"):
        caller.need(Ability.READ)
    with pytest.raises(Unauthorized):
        caller.opened("another", told.append)


def test_a_key_that_expires_ends_what_it_has_open(keyring, wall):
    key, secret = made(expires_at=1_001_000)
    keyring.take(1, [key])
    caller = keyring.caller_by_header(bearer(secret), "::1")
    told = []
    caller.opened("stream", told.append)
    keyring.tick()
    assert not told
    wall.now = 1_001.0
    keyring.tick()
    assert told
    with pytest.raises(Unauthorized, match="expired"):
        keyring.caller_by_header(bearer(secret), "::1")


def test_both_secrets_work_during_a_rotation(keyring, wall):
    key, old = made()
    keyring.take(1, [key])
    caller = keyring.caller_by_header(bearer(old), "::1")
    new = keys.new_secret()
    keyring.take(2, [replace(key, hashes=(keys.hash_of(new), *key.hashes), old_until=1_010_000)])
    assert keyring.caller_by_header(bearer(old), "::1") is caller
    assert keyring.caller_by_header(bearer(new), "::1") is caller, "the same key: what it has open stays open"
    wall.now = 1_010.0
    keyring.tick()
    assert keyring.caller_by_header(bearer(new), "::1") is caller
    with pytest.raises(Unauthorized):
        keyring.caller_by_header(bearer(old), "::1")


def test_a_change_of_a_key_applies_to_callers_that_use_it(keyring):
    key, secret = made(abilities=(Ability.READ, Ability.MANAGE))
    keyring.take(1, [key])
    caller = keyring.caller_by_header(bearer(secret), "::1")
    caller.need(Ability.MANAGE)
    keyring.take(2, [replace(key, abilities=(Ability.READ,), queues=("a",))])
    with pytest.raises(Forbidden) as refused:
        caller.need(Ability.MANAGE)
    assert refused.value.ability == "manage"
    assert caller.sees("a")
    assert not caller.sees("b")


def test_admin_includes_every_ability(keyring):
    key, secret = made(abilities=(Ability.ADMIN,))
    keyring.take(1, [key])
    for ability in Ability:
        keyring.caller_by_header(bearer(secret), "::1").need(ability)


def test_requests_per_second_are_bounded(keyring):
    key, secret = made(requests_per_s=3)
    keyring.take(1, [key])
    for _ in range(3):
        keyring.caller_by_header(bearer(secret), "::1")
    with pytest.raises(RateLimited) as refused:
        keyring.caller_by_header(bearer(secret), "::1")
    assert refused.value.retry_after_ms == 1_000
    keyring.tick()
    keyring.caller_by_header(bearer(secret), "::1")


def test_what_a_key_has_open_is_bounded():
    caller = Caller(made(parked=2)[0])
    caller.opened(1, lambda _: None)
    caller.opened(2, lambda _: None)
    with pytest.raises(RateLimited):
        caller.opened(3, lambda _: None)
    caller.closed(1)
    caller.opened(3, lambda _: None)


def test_failed_logins_of_an_address_are_bounded_and_a_valid_key_is_still_accepted(keyring):
    key, secret = made()
    keyring.take(1, [key])
    for _ in range(limits.LOGIN_TRIES):
        with pytest.raises(Unauthorized):
            keyring.caller_by_header(b"Bearer wrong", "192.0.2.1")
    with pytest.raises(RateLimited):
        keyring.caller_by_header(b"Bearer wrong", "192.0.2.1")
    assert keyring.caller_by_header(bearer(secret), "192.0.2.1").key is key
    with pytest.raises(Unauthorized):
        keyring.caller_by_header(b"Bearer wrong", "192.0.2.2")
    assert keyring.failures == {"unknown": limits.LOGIN_TRIES + 1, "too_often": 1}


def test_memory_for_failed_logins_and_headers_is_bounded(keyring):
    key, secret = made()
    keyring.take(1, [key])
    for number in range(limits.LOGIN_ADDRESSES + 10):
        with pytest.raises(Unauthorized):
            keyring.caller_by_header(b"Bearer wrong", f"a{number}")
    assert len(keyring._tried) == limits.LOGIN_ADDRESSES
    for number in range(limits.KEYS_VERIFIED + 10):
        keyring.caller_by_header(
            b"Basic " + base64.b64encode(b"%d:" % number + secret.encode()), "::1"
        ) if not keyring.tick() else None
    assert len(keyring._verified) <= limits.KEYS_VERIFIED


def test_a_session_ends_at_its_time_with_its_key_and_with_its_secret(keyring):
    key, secret = made()
    keyring.take(1, [key])
    caller = keyring.caller_by_header(bearer(secret), "::1")
    cookie = session.begun(caller, now=100.0)
    assert secret not in cookie
    assert keys.hash_of(secret).hex() not in cookie
    assert session.caller_of(keyring, cookie, now=100.0 + limits.SESSION_S - 1) is caller
    assert session.caller_of(keyring, cookie, now=100.0 + limits.SESSION_S) is None
    for other in (cookie[:-1] + "0", cookie.replace(".", ".9", 1), "", "a.b.c", "key-ci..", "x" * 400, "key-ci.1é.a"):
        assert other == cookie or session.caller_of(keyring, other, now=100.0) is None
    keyring.take(2, [replace(key, hashes=(keys.hash_of(keys.new_secret()), *key.hashes), old_until=9_999_999_999_999)])
    assert session.caller_of(keyring, cookie, now=100.0) is None, "the key has another secret"
    keyring.take(3, [key])
    assert session.caller_of(keyring, cookie, now=100.0) is caller
    keyring.take(4, [])
    assert session.caller_of(keyring, cookie, now=100.0) is None


def test_an_unreadable_key_is_not_accepted(keyring):
    keyring.take(1, [Key("key-x", "x", (), (), (), 0)])
    assert keyring.in_force
    assert session.caller_of(keyring, "key-x.9999999999.-") is None
    with pytest.raises(Unauthorized):
        keyring.caller_by_header(b"Bearer x", "::1")
