"""The files that screens load: style, scripts and vendored libraries. Only those named here."""

import hashlib
from functools import cache
from importlib.resources import files

from holdfast.errors import NotFound
from holdfast.http.reply import Reply
from holdfast.http.route import Route, get

_STATIC = files(__package__) / "static"
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_FILES = {
    "page.css": ("page.css", _STYLE),
    "page.js": ("page.js", _SCRIPT),
    "plots.js": ("plots.js", _SCRIPT),
    "theme.js": ("theme.js", _SCRIPT),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "htmx.min.js": ("vendor/htmx.min.js", _SCRIPT),
    "idiomorph-ext.min.js": ("vendor/idiomorph-ext.min.js", _SCRIPT),
    "uPlot.iife.min.js": ("vendor/uPlot.iife.min.js", _SCRIPT),
    "uPlot.min.css": ("vendor/uPlot.min.css", _STYLE),
}


@cache
def _file(name: str) -> bytes:
    return _STATIC.joinpath(name).read_bytes()


@cache
def address(name: str) -> str:
    """Where screens load a file from, below the page's own address: it changes with the file, so that no screen meets a script of another version."""
    return f"/static/{name}?v={_mark(name)}"


@cache
def _mark(name: str) -> str:
    return hashlib.sha256(_file(_FILES[name][0])).hexdigest()[:12]


@get("/web/static/{name}")
async def asset(name: str, v: str = "") -> Reply:
    """One file. Browsers cache it for a year under a URL with its hash, and for ten minutes under any other."""
    if name not in _FILES:
        raise NotFound(f"There is nothing at /web/static/{name[:100]}.")
    path, kind = _FILES[name]
    kept = b"public, max-age=31536000, immutable" if v == _mark(name) else b"public, max-age=600"
    return Reply(200, _file(path), kind.encode(), cache=kept)


ROUTES: list[Route] = [asset]
