"""Access keys without a server: the form of secrets, what makes a key valid, and what a scope includes."""

import zlib

import pytest

from holdfast import limits
from holdfast.auth import keys
from holdfast.auth.keys import Ability, Key
from holdfast.auth.scope import Scope, sees
from holdfast.errors import InvalidRequest


def key(**fields):
    return Key(
        **{"id": "key-1", "name": "ci", "abilities": (Ability.READ,), "queues": ("*",), "hashes": (), "created_at": 0, **fields}
    )


def test_a_secret_is_recognized_by_its_prefix_and_its_checksum():
    secret = keys.new_secret()
    assert secret.startswith("hf_")
    assert len(secret) == 52
    assert secret.isascii()
    assert secret[3:].isalnum()
    assert keys.is_secret(secret)
    changed = secret[:10] + ("a" if secret[10] != "a" else "b") + secret[11:]
    assert not keys.is_secret(changed), "with one wrong character a scanner need not report it"
    number = 0
    for character in secret[-6:]:
        number = number * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(character)
    assert number == zlib.crc32(secret[:-6].encode()), "base 62 of the CRC-32 of the characters before, as docs/keys.md says"


def test_no_two_secrets_are_alike_and_each_has_256_bits():
    made = {keys.new_secret() for _ in range(2_000)}
    assert len(made) == 2_000
    assert 62**43 > 2**256
    assert len({keys.hash_of(secret) for secret in made}) == 2_000


def test_a_key_shows_neither_its_secret_nor_its_hash():
    secret = keys.new_secret()
    shown = repr(key(hashes=(keys.hash_of(secret),)))
    assert secret not in shown
    assert keys.hash_of(secret).hex() not in shown
    assert repr(keys.hash_of(secret)) not in shown


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "."}, "name"),
        ({"name": "a" * (limits.KEY_NAME_CHARS + 1)}, "name"),
        ({"name": "with space"}, "name"),
        ({"abilities": ()}, "abilities"),
        ({"abilities": (Ability.READ, Ability.READ)}, "abilities"),
        ({"queues": ()}, "queues"),
        ({"queues": ("a*b",)}, "queues"),
        ({"queues": ("a/b",)}, "queues"),
        ({"queues": ("",)}, "queues"),
        ({"queues": ("**",)}, "queues"),
        ({"queues": ("q",) * (limits.KEY_PATTERNS + 1)}, "queues"),
        ({"note": "x" * (limits.KEY_NOTE_CHARS + 1)}, "note"),
        ({"note": "a\nb"}, "note"),
        ({"sees_payloads": False, "abilities": (Ability.CONSUME,)}, "sees_payloads"),
        ({"sees_payloads": False, "abilities": (Ability.ADMIN,)}, "sees_payloads"),
        ({"requests_per_s": 0}, "requests_per_s"),
        ({"parked": limits.KEY_PARKED_MAX + 1}, "parked"),
    ],
)
def test_the_refusal_of_an_invalid_key_names_the_field(fields, field):
    with pytest.raises(InvalidRequest) as refused:
        keys.check(key(**fields))
    assert refused.value.field == field


def test_a_key_at_its_bounds_is_valid():
    keys.check(
        key(
            name="a" * limits.KEY_NAME_CHARS,
            abilities=tuple(Ability),
            queues=("*", "emails.*", "q" * 200)[: limits.KEY_PATTERNS],
            note="x" * limits.KEY_NOTE_CHARS,
            requests_per_s=limits.KEY_REQUESTS_PER_S_MAX,
            parked=limits.KEY_PARKED_MAX,
        )
    )


def test_an_expiry_must_be_within_its_bounds():
    assert keys.expiry(5, None) is None
    assert keys.expiry(5, 1_000) == 1_005
    for wrong in (0, 999, limits.KEY_EXPIRES_MS_MAX + 1):
        with pytest.raises(InvalidRequest):
            keys.expiry(0, wrong)


def test_a_file_with_a_guessable_secret_is_refused():
    good = keys.new_secret()
    assert keys.read_secret(f"  {good}\n") == good
    assert keys.read_secret("k" * limits.KEY_SECRET_CHARS_MIN) == "k" * limits.KEY_SECRET_CHARS_MIN
    for wrong in (
        "",
        "short",
        good[:-1],
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        "k" * 31,
        "k" * 201,
        "k " * 20,
        "é" * 40,
    ):
        with pytest.raises(InvalidRequest):
            keys.read_secret(wrong)


def test_a_scope_sees_names_and_prefixes_and_nothing_else():
    scope = Scope.of(("billing", "emails.*"))
    assert [
        name
        for name in ("billing", "billing2", "bill", "emails.", "emails.a", "emails", "Emails.a", "x.emails.a")
        if scope.sees(name)
    ] == [
        "billing",
        "emails.",
        "emails.a",
    ]
    assert Scope.of(("billing", "*")) is None
    assert sees(None, "whatever")
    assert not Scope.of(("a",)).sees("")
