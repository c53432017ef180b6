"""For the tests of programs that use Holdfast: a real server in the test's own process, on a clock that the test sets forward.

`plugin.py` is found by pytest, and provides the fixture `holdfast`. `LocalServer` is the same for other test frameworks.
"""

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.testing.local import LocalServer

__all__ = ["LocalServer"]


def __getattr__(name: str) -> Any:
    if name != "LocalServer":
        raise AttributeError(f"module 'holdfast.testing' has no attribute {name!r}")
    with warnings.catch_warnings(
        action="ignore", category=DeprecationWarning
    ):  # the framework's, no business of a user's tests
        # Only now: pytest loads the plugin in every run, and a server is not needed in each.
        from holdfast.testing.local import LocalServer  # noqa: PLC0415

    return LocalServer
