"""Sessions of the management page: who has logged in, in a signed cookie.

    KEY-ID . END . MAC          the MAC is made with the hash of the key's newest secret, which every front and every node has

No server stores sessions or has a secret of its own, so every front and every node accepts the cookie, also after a restart. A
session ends at its time, when its key ends, and when its key gets another secret.
"""

import hashlib
import hmac
import time

from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring
from holdfast.limits import SESSION_S

_LONGEST = 300


def begun(caller: Caller, now: float | None = None) -> str:
    """The cookie of a new session."""
    end = int(time.time() if now is None else now) + SESSION_S
    return f"{caller.key.id}.{end}.{_mac(caller, end)}"


def caller_of(keyring: Keyring, cookie: str, now: float | None = None) -> Caller | None:
    """The caller of the session in this cookie; None if it is invalid or has ended."""
    key_id, _, rest = cookie.partition(".")
    end, _, mac = rest.partition(".")
    if len(cookie) > _LONGEST or not (end.isascii() and end.isdigit()) or not mac.isascii():
        return None
    caller = keyring.caller_of(key_id)
    if caller is None or not caller.key.hashes or int(end) <= (time.time() if now is None else now):
        return None
    return caller if hmac.compare_digest(mac, _mac(caller, int(end))) else None


def _mac(caller: Caller, end: int) -> str:
    text = f"holdfast session 1\0{caller.key.id}\0{end}".encode()
    return hmac.new(caller.key.hashes[0], text, hashlib.sha256).hexdigest()
