"""Which route a request takes, and which methods a path has."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from holdfast.http.route import Route

_KNOWN_PATHS = 1_000  # whose path is cached
_PATH_CHARS = 300  # of a cached path: a longer one is matched each time
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z", re.ASCII)
_SLASH = "\udc2f"  # which no UTF-8 has
_WRITTEN_SLASH = re.compile("%2[fF]")
Found = tuple[Route, tuple[str, ...]]


def with_slashes_marked(target: str) -> str:
    """A target whose percent-encoded slashes are a part of what is between two others, such as the name of a type."""
    return _WRITTEN_SLASH.sub(_SLASH, target)


class _Node:
    """A step of a path: what may follow, and the routes that end here."""

    __slots__ = ("any", "next", "routes")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """All routes. A literal path segment takes precedence over a parameter."""

    def __init__(self, routes: Iterable[Route], heads: Sequence[str] = ()) -> None:
        """`heads` are the beginnings of paths where a HEAD is answered as a GET would be: there a GET changes nothing."""
        self.routes = list(routes)
        self._heads = tuple(heads)
        self._known: dict[tuple[str, str], Found] = {}
        self._first = _Node()
        for route in self.routes:
            node = self._first
            for part in route.path.split("/")[1:] if route.path != "/" else ():
                if part.startswith("{"):
                    node.any = node.any or _Node()
                    node = node.any
                else:
                    node = node.next.setdefault(part, _Node())
            node.routes[route.method] = route
            if not route.names:
                self._known[route.method, route.path] = (route, ())

    def find(self, method: str, path: str) -> Found | None:
        """The route of a request, and what its path names."""
        known = self._known.get((method, path))
        if known is not None:
            return known
        node, values = self._end(path)
        if node is None:
            return None
        route = node.routes.get(method)
        if route is None and method == "HEAD" and self.takes_head(path):
            route = node.routes.get("GET")
        if route is None or (route.whole and not _are_whole(route, values)):
            return None
        if _SLASH in path:
            values = tuple(value.replace(_SLASH, "/") for value in values)
        found = (route, values)
        if route.is_hot and route.names == ("queue",) and len(self._known) < _KNOWN_PATHS and len(path) <= _PATH_CHARS:
            self._known[method, path] = found
        return found

    def methods(self, path: str) -> list[str]:
        """The methods of a path; empty if there is no route."""
        node, values = self._end(path)
        if node is None:
            return []
        found = {method for method, route in node.routes.items() if not route.whole or _are_whole(route, values)}
        if not found:
            return []
        if "GET" in found and self.takes_head(path):
            found.add("HEAD")
        return sorted({*found, "OPTIONS"})

    def takes_head(self, path: str) -> bool:
        """Whether a HEAD is answered like a GET here."""
        return path == "/" or path.startswith(self._heads)

    def _end(self, path: str) -> tuple[_Node | None, tuple[str, ...]]:
        node: Any = self._first
        if path[:1] != "/":
            return None, ()
        values: tuple[str, ...] = ()
        for part in path.split("/")[1:] if path != "/" else ():
            if (following := node.next.get(part)) is None:
                if (following := node.any) is None or not part:
                    return None, ()
                values = (*values, part)
            node = following
        return node, values


def _are_whole(route: Route, values: tuple[str, ...]) -> bool:
    """Whether an integer is written canonically: 1_0, +1 or 007 would name another job."""
    return all(_NUMBER.match(value) is not None for name, value in zip(route.names, values, strict=True) if name in route.whole)
