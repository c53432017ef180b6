"""For the tests of programs that use Holdfast: a real server, on a clock that the test sets forward.

`plugin.py` is found by pytest, and provides the fixture `holdfast_server`. `LocalServer` is the same for other test frameworks, in the test's own process, and
`RemoteServer` in one of an environment of its own, that of a `Command`.
"""

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.testing.local import LocalServer
    from holdfast.testing.remote import Command, RemoteServer
    from holdfast.testing.server import TestServer

__all__ = ["Command", "LocalServer", "RemoteServer", "TestServer"]


def __getattr__(name: str) -> Any:
    # Only now: pytest loads the plugin in every run, and a server is not needed in each.
    if name == "LocalServer":
        with warnings.catch_warnings(
            action="ignore", category=DeprecationWarning
        ):  # the framework's, no business of a user's tests
            from holdfast.testing.local import LocalServer  # noqa: PLC0415

        return LocalServer
    if name in ("Command", "RemoteServer"):
        from holdfast.testing import remote  # noqa: PLC0415

        return getattr(remote, name)
    if name == "TestServer":
        from holdfast.testing.server import TestServer  # noqa: PLC0415

        return TestServer
    raise AttributeError(f"module 'holdfast.testing' has no attribute {name!r}")
