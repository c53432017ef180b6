"""All keys in the memory of one front process: which key a secret belongs to.

    store ── version changed ──▶ news ──▶ `KeyWatch` ── reads all keys ──▶ `take`
                                              ▲ every second `tick`: expired keys end, counts of requests start at 0

Once a key exists, keys are in force until the process ends, even if the last one is revoked: revoking keys never opens a
server.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Sequence

from holdfast import limits
from holdfast.auth.caller import Caller, unauthorized
from holdfast.auth.keys import Key, hash_of
from holdfast.errors import RateLimited, StoreUnavailable, Unauthorized

_NONE = "This server requires an access key, and the request has none."
_UNKNOWN = "This access key is unknown."
_EXPIRED = "This access key has expired."
_REVOKED = "This access key was revoked."
_WINDOW_S = 60


class Keyring:
    """The keys of a store, in memory. `wall` gives the time in seconds since 1970."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.in_force = False
        self.is_loaded = True
        self.version = -1
        self._had_any = False
        self.failures: dict[str, int] = {}  # by reason
        self._wall = wall
        self._callers: dict[str, Caller] = {}  # by the key's id
        self._by_hash: dict[bytes, Caller] = {}
        self._verified: dict[bytes, Caller] = {}  # by the value of the header
        self._tried: dict[str, int] = {}  # failed logins by address, in this window
        self._window = 0
        self._changes_at: int | None = None  # when the next key or secret expires
        self._used: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._callers)

    def await_load(self) -> None:
        """The keys in the store are not loaded yet: refuse all requests until they are."""
        self.in_force, self.is_loaded = True, False

    def require(self) -> None:
        """Require a key even if none exists: all requests are refused until one does."""
        self._had_any = self.in_force = True

    def take(self, version: int, keys: Sequence[Key]) -> None:
        """Replace all keys. What the holder of a removed key has open is closed at once."""
        self.version, self.is_loaded = version, True
        before, self._callers = self._callers, {}
        for key in keys:
            caller = before.pop(key.id, None)
            if caller is None or caller.ended:
                caller = Caller(key)
            elif caller.key is not key:
                caller.become(key)
            self._callers[key.id] = caller
        self._had_any |= bool(keys)
        self.in_force = self._had_any
        for caller in before.values():
            if not caller.ended:
                caller.end(_REVOKED)
        self._index()

    def _index(self) -> None:
        """Map the hash of each secret that is in force to its key; end expired keys."""
        now = self._now()
        moments: list[int] = []
        self._verified.clear()
        self._by_hash.clear()
        for caller in self._callers.values():
            key = caller.key
            if key.expires_at is not None:
                if key.expires_at <= now:
                    if not caller.ended:
                        caller.end(_EXPIRED)
                else:
                    moments.append(key.expires_at)
            hashes = key.hashes
            if len(hashes) > 1 and key.old_until is not None:
                if key.old_until <= now:
                    hashes = hashes[:1]
                else:
                    moments.append(key.old_until)
            for one in hashes:
                self._by_hash[one] = caller
        self._changes_at = min(moments, default=None)

    def tick(self) -> None:
        """Once a second: end expired keys, and start to count requests again."""
        if self._changes_at is not None and self._changes_at <= self._now():
            self._index()
        if not self.in_force:
            return
        now = self._now()
        for caller in self._callers.values():
            if caller.calls:
                caller.calls = 0
                self._used[caller.key.id] = now
        window = int(time.monotonic() / _WINDOW_S)
        if window != self._window:
            self._window = window
            self._tried.clear()

    def take_used(self) -> dict[str, int]:
        """When each key was last used, for the keys used since the last call."""
        used, self._used = self._used, {}
        return used

    def caller_by_header(self, header: bytes | None, address: str) -> Caller:
        """The caller of a request by its `Authorization` header: `Bearer SECRET`, or `Basic` with the secret as password.

        Raises `Unauthorized`, and `RateLimited` past a bound.
        """
        caller = self._verified.get(header) if header is not None else None
        if caller is None:
            caller = self.caller_by_secret(_secret_in(header), address)
            assert header is not None, "it contained a secret"
            if len(self._verified) >= limits.KEYS_VERIFIED:
                self._verified.clear()
            self._verified[header] = caller
        caller.count()
        return caller

    def caller_by_secret(self, secret: bytes | None, address: str) -> Caller:
        """The caller with this secret; raises `Unauthorized`, and `RateLimited` after too many failed logins from the address
        in a minute.
        """
        if not self.is_loaded:
            raise StoreUnavailable("The access keys can't be read yet.", retry_after_ms=1_000)
        if secret is None:
            raise unauthorized(_NONE)
        given = hash_of(secret)
        caller = self._by_hash.get(given)
        if caller is not None and any(hmac.compare_digest(given, one) for one in caller.key.hashes):
            if caller.ended:
                raise self._failed(address, caller.ended, "expired")
            return caller
        raise self._failed(address, _UNKNOWN, "unknown")

    def caller_named(self, name: str) -> Caller | None:
        """The key with this name, for a caller that is identified by its address or its certificate."""
        found = next((caller for caller in self._callers.values() if caller.key.name == name), None)
        return None if found is None or found.ended else found

    def caller_of(self, key_id: str) -> Caller | None:
        """The key with this id, if it is in force."""
        found = self._callers.get(key_id)
        return None if found is None or found.ended else found

    def _failed(self, address: str, why: str, counted: str) -> Unauthorized | RateLimited:
        """Count a failed login. This limits wrong keys only: a valid key from the same address is accepted."""
        tried = self._tried.get(address, 0) + 1
        if len(self._tried) < limits.LOGIN_ADDRESSES or address in self._tried:
            self._tried[address] = tried
        if tried > limits.LOGIN_TRIES:
            counted = "too_often"
        self.failures[counted] = self.failures.get(counted, 0) + 1
        if counted == "too_often":
            return RateLimited(
                "Too many requests with a wrong access key came from this address.", retry_after_ms=_WINDOW_S * 1_000
            )
        return unauthorized(why)

    def _now(self) -> int:
        return int(self._wall() * 1_000)


def _secret_in(header: bytes | None) -> bytes | None:
    """The secret in the value of an `Authorization` header."""
    if header is None or len(header) > limits.KEY_HEADER_BYTES:
        return None
    scheme, _, rest = header.strip().partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest or None
    if scheme.lower() == b"basic":
        try:
            _, colon, password = base64.b64decode(rest, validate=True).partition(b":")
        except binascii.Error:
            return None
        return password if colon and password else None
    return None
