"""Tubes and queues: the same things under names of two alphabets.

A tube's name may have `+ / ; $ ( )`, which a queue's may not; a queue's may have `:`, which a tube's may not. So each such
character is written as `:` and its code in two hexadecimal digits: the tube `mail/in` is the queue `mail:2Fin`. The mapping is
exact, and a queue whose name is not such an encoding (`a:b`) has no tube. A queue can't be called `.` or `..`: the dots of such
a tube are encoded too.
"""

import re
from functools import lru_cache

from holdfast.limits import TUBE_NAME_BYTES

_TUBE = re.compile(rf"(?!-)[A-Za-z0-9\-+/;.$_()]{{1,{TUBE_NAME_BYTES}}}\Z")
_NOT_IN_QUEUES = re.compile(r"[+/;$()]")
_DOTS = re.compile(r"\.")
_ESCAPE = re.compile(r":([0-9A-F]{2})")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*\Z")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
DEFAULT = "default"


def is_tube(name: str) -> bool:
    """Whether this may be a tube's name."""
    return _TUBE.match(name) is not None


@lru_cache(maxsize=10_000)
def queue_of(tube: str) -> str:
    """The queue that a tube is."""
    return (_DOTS if tube in (".", "..") else _NOT_IN_QUEUES).sub(lambda match: f":{ord(match[0]):02X}", tube)


@lru_cache(maxsize=10_000)
def tube_of(queue: str) -> str | None:
    """The tube of a queue; None if it has none."""
    tube = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), queue)
    return tube if is_tube(tube) and queue_of(tube) == queue else None


def in_yaml(text: str) -> str:
    """A text as a value in YAML: bare if it can't be read as anything else, as beanstalkd writes all of them."""
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
