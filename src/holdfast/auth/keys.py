"""Access keys: what one may do, on which queues, until when; and the secret that proves it.

    hf_ + 43 characters (256 bits) + 6 characters (CRC-32 of what stands before)

The beginning and the checksum are there for secret scanners: what looks like one and has the right checksum is one. A secret is shown once and
kept as its SHA-256. A slow hash (bcrypt, scrypt) protects passwords, which can be guessed; 256 bits from the system can't, and a slow hash
would let anybody spend our time with wrong ones.

A key is looked up by the hash of the secret, so nothing about another secret can be learnt from how long that takes: who can choose the
input of SHA-256 can't choose its output byte by byte.
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
    """One access key as it is kept. Times are in milliseconds; `hashes` are those of its living secrets, the newest first; the older one ends at
    `old_until`. `requests_per_s` and `parked` bound what it may do in one front process (None: what is usual).
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
    """What becomes of a key that is edited; what is absent stays. `expires_ms` counts from now; None: it lives until it is revoked."""

    abilities: tuple[Ability, ...] | UnsetType = UNSET
    queues: tuple[str, ...] | UnsetType = UNSET
    expires_ms: int | UnsetType | None = UNSET
    sees_payloads: bool | UnsetType = UNSET
    note: str | UnsetType = UNSET
    requests_per_s: int | UnsetType | None = UNSET
    parked: int | UnsetType | None = UNSET

    def given(self) -> dict[str, Any]:
        """Those that are there, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


def edited(key: Key, changes: KeyChanges, now: int) -> Key:
    """The key as it is from now on; raises `InvalidRequest` with the field and the bound that it breaks."""
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
    """Whether this has the form of a secret, its checksum included."""
    body, check = text[:-_CHECK_CHARS], text[-_CHECK_CHARS:]
    return len(text) == len(PREFIX) + _SECRET_CHARS + _CHECK_CHARS and text.startswith(PREFIX) and _checksum(body) == check


def hash_of(secret: str | bytes) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")).digest()


def new_id() -> str:
    """The public name of a new key."""
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
        raise breach("abilities", "must have each at most once")
    check_patterns(key.queues)
    if len(key.note) > limits.KEY_NOTE_CHARS or not key.note.isprintable():
        raise breach("note", f"must be at most {limits.KEY_NOTE_CHARS} printable characters")
    if not key.sees_payloads and {Ability.CONSUME, Ability.ADMIN} & set(key.abilities):
        raise breach("sees_payloads", "must be true for a key that may consume or admin: it is given payloads")
    _check_number("requests_per_s", key.requests_per_s, 1, limits.KEY_REQUESTS_PER_S_MAX)
    _check_number("parked", key.parked, 1, limits.KEY_PARKED_MAX)
    return key


def check_patterns(patterns: Sequence[str]) -> None:
    """Patterns of queues: a name, a name's beginning and `*`, or `*`."""
    if not 1 <= len(patterns) <= limits.KEY_PATTERNS:
        raise breach("queues", f"must have 1 to {limits.KEY_PATTERNS} entries")
    if len(set(patterns)) < len(patterns):
        raise breach("queues", "must have each at most once")
    for pattern in patterns:
        name = pattern[:-1] if pattern.endswith(ALL) else pattern
        if pattern != ALL and limits.QUEUE_NAME_ONCE.match(name) is None:
            raise breach("queues", "must each be a queue's name, the beginning of one and *, such as emails.*, or *")


def abilities_of(names: Sequence[str], field: str = "abilities") -> tuple[Ability, ...]:
    """Abilities by their names."""
    try:
        return tuple(Ability(name) for name in names)
    except ValueError:
        raise breach(field, f"must be of {', '.join(Ability)}") from None


def expiry(created_at: int, expires_ms: int | None) -> int | None:
    """When a key that lives for so long ends."""
    if expires_ms is None:
        return None
    if not 1_000 <= expires_ms <= limits.KEY_EXPIRES_MS_MAX:
        raise breach("expires_ms", f"must be from 1000 to {limits.KEY_EXPIRES_MS_MAX}")
    return created_at + expires_ms


def read_secret(text: str) -> str:
    """The secret in a file that somebody else wrote; raises `InvalidRequest` for one that could be guessed."""
    secret = text.strip()
    if is_secret(secret):
        return secret
    if secret.startswith(PREFIX) or not limits.KEY_SECRET_CHARS_MIN <= len(secret) <= limits.KEY_SECRET_CHARS:
        raise InvalidRequest(
            f"It must hold a secret of `holdfast key secret`, or {limits.KEY_SECRET_CHARS_MIN} to {limits.KEY_SECRET_CHARS} random characters."
        )
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise InvalidRequest("It must hold printable ASCII characters without spaces.")
    return secret


def no_such_key(name: str) -> KeyNotFound:
    """The refusal for a key that is not there."""
    return KeyNotFound(f"There is no access key {name[:200]}.", key=name[:200])


def _check_number(field: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise breach(field, f"must be from {low} to {high}")
