"""Login over HTTP: the check of every request, if access keys are in force.

A key is sent as `Authorization: Bearer SECRET`, or as the password of `Basic` with any user name; on the page as its session
cookie. Query strings are never read: they end up in logs. The engine decides what a key may do (`engine/access.py`), except for
routes that do not use the engine.
"""

from collections.abc import Callable

from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability

Headers = dict[bytes, bytes]
ByCookie = Callable[[Headers], Caller | None]
"""The caller of the session of the page that a request belongs to; None: there is no session, and the page shows the login
form.
"""

OPEN = frozenset(("/healthz", "/readyz", "/"))
"""Paths that need no key."""
_READ = ("/metrics", "/docs", "/openapi.json")
_PAGE = "/web"


class Login:
    """Finds the caller of a request."""

    def __init__(self, keyring: Keyring, by_cookie: ByCookie | None = None) -> None:
        self._keyring = keyring
        self._by_cookie = by_cookie

    def __call__(self, path: str, headers: Headers, address: str) -> Caller | None:
        """The caller; None if no keys are in force, or if the path needs none. Raises `Unauthorized`, `Forbidden` or
        `RateLimited`.
        """
        if not self._keyring.in_force or path in OPEN:
            return None
        header = headers.get(b"authorization")
        if header is None and self._by_cookie is not None and (path == _PAGE or path.startswith("/web/")):
            return self._by_cookie(headers)
        caller = self._keyring.caller_by_header(header, address)
        if path.startswith(_READ):
            caller.need(Ability.READ)
        return caller
