"""Access keys: what a key may do, on which queues, until when; and its secret.

    hf_ + 43 characters (256 bits) + 6 characters (CRC-32 of the characters before)

The prefix and the checksum let secret scanners recognize a secret. It is shown once and stored as its SHA-256. A slow hash
(bcrypt, scrypt) protects passwords, which can be guessed; 256 random bits can't be guessed, and with a slow hash anybody could
use up the server's CPU with wrong secrets.

A key is looked up by the hash of the secret, so the time of a lookup reveals nothing about other secrets: a caller can choose
the input of SHA-256, but not its output byte by byte.
"""

import enum
import hashlib
import secrets
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.scope import ALL
from holdfast.errors import InvalidRequest, KeyNotFound, breach

PREFIX = "hf_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARS = 43  # 62 ** 43 is more than 2 ** 256
_CHECK_CHARS = 6
_SECRET_BYTES = 32


class Ability(enum.StrEnum):
    """What a key may do. `admin` includes all others."""

    PRODUCE = "produce"
    PUBLISH = "publish"
    CONSUME = "consume"
    READ = "read"
    MANAGE = "manage"
    ADMIN = "admin"


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """One access key as it is stored. Times are in milliseconds. `hashes` are those of its valid secrets, the newest first; an
    older one is valid until `old_until`. `requests_per_s` and `parked` are limits for each front process (None: the defaults).
    """

    id: str
    name: str
    abilities: tuple[Ability, ...]
    queues: tuple[str, ...]
    hashes: tuple[bytes, ...]
    created_at: int
    expires_at: int | None = None
    old_until: int | None = None
    sees_payloads: bool = True
    note: str = ""
    requests_per_s: int | None = None
    parked: int | None = None
    used_at: int | None = None

    def __repr__(self) -> str:
        """Without its hashes."""
        return f"Key({self.id!r}, {self.name!r}, can={','.join(self.abilities)}, queues={','.join(self.queues)})"


class KeyChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes of a key; absent fields stay as they are. `expires_ms` counts from now; None: it never expires."""

    abilities: tuple[Ability, ...] | UnsetType = UNSET
    queues: tuple[str, ...] | UnsetType = UNSET
    expires_ms: int | UnsetType | None = UNSET
    sees_payloads: bool | UnsetType = UNSET
    note: str | UnsetType = UNSET
    requests_per_s: int | UnsetType | None = UNSET
    parked: int | UnsetType | None = UNSET

    def given(self) -> dict[str, Any]:
        """The fields that are present, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


def edited(key: Key, changes: KeyChanges, now: int) -> Key:
    """The key with the changes; raises `InvalidRequest` with the field and the bound that it breaks."""
    given = changes.given()
    if "expires_ms" in given:
        given["expires_at"] = expiry(now, given.pop("expires_ms"))
    return check(replace(key, **given))


def new_secret() -> str:
    """A secret from the system's source of randomness."""
    number = int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big")
    body = PREFIX + _written(number, _SECRET_CHARS)
    return body + _checksum(body)


def is_secret(text: str) -> bool:
    """Whether this has the form of a secret, with a correct checksum."""
    body, check = text[:-_CHECK_CHARS], text[-_CHECK_CHARS:]
    return len(text) == len(PREFIX) + _SECRET_CHARS + _CHECK_CHARS and text.startswith(PREFIX) and _checksum(body) == check


def hash_of(secret: str | bytes) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")).digest()


def new_id() -> str:
    """The id of a new key."""
    return f"key-{secrets.token_hex(6)}"


def _checksum(body: str) -> str:
    return _written(zlib.crc32(body.encode("utf-8", "surrogateescape")), _CHECK_CHARS)


def _written(number: int, chars: int) -> str:
    text = ""
    for _ in range(chars):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text


def check(key: Key) -> Key:
    """The same key; raises `InvalidRequest` with the field and the bound that it breaks."""
    if limits.KEY_NAME.match(key.name) is None:
        raise breach("name", f"must be 1 to {limits.KEY_NAME_CHARS} of the characters A-Z a-z 0-9 . _ : -")
    if not key.abilities:
        raise breach("abilities", f"must have at least one of {', '.join(Ability)}")
    if len(set(key.abilities)) < len(key.abilities):
        raise breach("abilities", "must not have the same entry twice")
    check_patterns(key.queues)
    if len(key.note) > limits.KEY_NOTE_CHARS or not key.note.isprintable():
        raise breach("note", f"must be at most {limits.KEY_NOTE_CHARS} printable characters")
    if not key.sees_payloads and {Ability.CONSUME, Ability.ADMIN} & set(key.abilities):
        raise breach("sees_payloads", "must be true for a key with the ability consume or admin: both read payloads")
    _check_number("requests_per_s", key.requests_per_s, 1, limits.KEY_REQUESTS_PER_S_MAX)
    _check_number("parked", key.parked, 1, limits.KEY_PARKED_MAX)
    return key


def check_patterns(patterns: Sequence[str]) -> None:
    """Patterns of queues: a name, a prefix and `*`, or `*`."""
    if not 1 <= len(patterns) <= limits.KEY_PATTERNS:
        raise breach("queues", f"must have 1 to {limits.KEY_PATTERNS} entries")
    if len(set(patterns)) < len(patterns):
        raise breach("queues", "must not have the same entry twice")
    for pattern in patterns:
        name = pattern[:-1] if pattern.endswith(ALL) else pattern
        if pattern != ALL and limits.QUEUE_NAME_ONCE.match(name) is None:
            raise breach("queues", "must each be the name of a queue, a prefix and *, such as emails.*, or *")


def abilities_of(names: Sequence[str], field: str = "abilities") -> tuple[Ability, ...]:
    """The abilities with these names."""
    try:
        return tuple(Ability(name) for name in names)
    except ValueError:
        raise breach(field, f"must be of {', '.join(Ability)}") from None


def expiry(created_at: int, expires_ms: int | None) -> int | None:
    """When a key expires that is valid for so long."""
    if expires_ms is None:
        return None
    if not 1_000 <= expires_ms <= limits.KEY_EXPIRES_MS_MAX:
        raise breach("expires_ms", f"must be from 1000 to {limits.KEY_EXPIRES_MS_MAX}")
    return created_at + expires_ms


def read_secret(text: str) -> str:
    """The secret in the text of a file; raises `InvalidRequest` for one that could be guessed."""
    secret = text.strip()
    if is_secret(secret):
        return secret
    if secret.startswith(PREFIX) or not limits.KEY_SECRET_CHARS_MIN <= len(secret) <= limits.KEY_SECRET_CHARS:
        raise InvalidRequest(
            f"It must contain a secret from `holdfast key secret`, or {limits.KEY_SECRET_CHARS_MIN} to {limits.KEY_SECRET_CHARS} random characters."
        )
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise InvalidRequest("It must contain printable ASCII characters without spaces.")
    return secret


def no_such_key(name: str) -> KeyNotFound:
    """The refusal for a key that does not exist."""
    return KeyNotFound(f"There is no access key {name[:200]}.", key=name[:200])


def _check_number(field: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise breach(field, f"must be from {low} to {high}")
