"""Markdown into HTML, by Sphinx."""

import io
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.console import nocolor

from holdfast import __version__

_SETTINGS = {
    "project": "Holdfast",
    "release": __version__,
    "copyright": "the authors of Holdfast, Apache License 2.0",
    "extensions": ["myst_parser"],
    "html_theme": "furo",
    "html_title": "Holdfast",
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_sphinx": False,
    "exclude_patterns": ["files/**"],
    "myst_heading_anchors": 4,
    "myst_enable_extensions": [],
    "nitpicky": True,
    "highlight_language": "none",
    "suppress_warnings": ["misc.highlighting_failure"],  # cut answers and frames are no whole JSON
}


def render(pages: Path, doctrees: Path, out: Path) -> bool:
    """Build the site of these pages; whether that gave no warning. Warnings go to standard error."""
    nocolor()
    warnings = io.StringIO()
    site = Sphinx(
        srcdir=pages,
        confdir=None,
        outdir=out,
        doctreedir=doctrees,
        buildername="html",
        confoverrides=_SETTINGS,
        status=None,
        warning=warnings,
    )
    site.build()
    sys.stderr.write(warnings.getvalue().replace(f"{pages}/", ""))
    return not warnings.getvalue()
