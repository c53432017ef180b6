"""The templates of the screens: compiled once on each machine, and kept."""

import pickle
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

from holdfast import units
from holdfast.doors.web import assets, formats
from holdfast.doors.web.layout import segment
from holdfast.units import counted


class _Compiled(jinja2.FileSystemBytecodeCache):
    """What is compiled is kept where Python keeps what it compiles of this folder, and is worth as much trust; where that can't be written, or
    Python was told to write none, each start compiles again.
    """

    def __init__(self) -> None:
        super().__init__(str(Path(__file__).parent / "__pycache__"), f"%s.{sys.implementation.cache_tag}.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        """What is damaged, as by a loss of power, is compiled again."""
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, ValueError, LookupError, AttributeError, ImportError, pickle.UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, if that can be."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


@cache
def templates() -> jinja2.Environment:
    """The templates, compiled once; values are escaped, and a missing one is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("holdfast.doors.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_Compiled(),
    )
    made.globals["asset"] = assets.address
    made.filters |= {
        "number": formats.number,
        "counted": counted,
        "short": formats.short,
        "rate": formats.rate,
        "duration": formats.duration,
        "ago": formats.ago,
        "moment": formats.moment,
        "clock": formats.clock,
        "iso": formats.iso,
        "size": formats.size,
        "text": formats.text_of,
        "units": units.duration,
        "segment": lambda text: segment(str(text)),
    }
    return made


def compile_all() -> None:
    """Load every template. The first start on a machine compiles them, which takes about 0.3 s of computing: in a thread, so that the server
    serves meanwhile.
    """
    made = templates()
    for name in made.list_templates():
        made.get_template(name)
