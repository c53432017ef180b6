"""The files that screens load: style, scripts and the libraries that came along. Only those that are named here."""

from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Response, get

from holdfast.errors import NotFound

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


@get("/web/static/{name:str}", include_in_schema=False)
async def asset(name: str) -> Response[bytes]:
    """One file. Kept by browsers for a short time only, so that an upgrade is seen soon."""
    if name not in _FILES:
        raise NotFound(f"There is nothing at /web/static/{name[:100]}.")
    path, kind = _FILES[name]
    return Response(_file(path), media_type=kind, headers={"cache-control": "public, max-age=600"})


ROUTES: list[Any] = [asset]
