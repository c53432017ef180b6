r"""One command line as a tuple: its verb, then its values. What beanstalkd 1.12 takes and refuses, to the letter, its oddities included.

    (b"release 7 10 60")  ─▶  ("release", 7, 10, 60)
    (b"release 7 x 60")   ─▶  ("say", b"BAD_FORMAT\r\n")

beanstalkd recognizes a verb by the beginning of the line, in a fixed order: `statsx` is `stats` with trailing garbage
(BAD_FORMAT), while `foo` is no command. A line of another protocol is neither: what follows may be commands that a web page has
put into the body of a request, or into a TLS ticket, in the name of its visitor. `is_foreign` recognizes such a line by its
beginning, `is_foreign_end` by its end, and `is_foreign_start` recognizes by its first byte what is not text at all.

Numbers are parsed by two different rules there, and so here: ids and u32 strictly, `kick` as C's strtoul.
`reserve-with-timeout` accepts anything there, as 0 if it is not a number; here an invalid time is BAD_FORMAT.
"""

import re
from collections.abc import Callable
from typing import Any

from holdfast.doors.beanstalk.names import is_tube
from holdfast.limits import TUBE_ID_MAX, TUBE_NUMBER_MAX

AUTH = b"auth "  # the one verb that is not beanstalkd's; known if access keys are in force
BAD_FORMAT = b"BAD_FORMAT\r\n"
UNKNOWN_COMMAND = b"UNKNOWN_COMMAND\r\n"
Asked = tuple[Any, ...]
_BAD: Asked = ("say", BAD_FORMAT)
_UNKNOWN: Asked = ("say", UNKNOWN_COMMAND)

FOREIGN: Asked = ("foreign",)
_VERSION = re.compile(rb"[ \t](?:HTTP|RTSP|SIP|ICY)/\d[0-9.]*[ \t]*\Z", re.IGNORECASE)
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:")  # the name of a header; beanstalkd has no colon in a verb
_SHOUTED = re.compile(
    rb"[A-Z][A-Z0-9_-]{2,}(?:[ \t\n/]|\Z)"
)  # GET, POST, PRI, EHLO, USER: beanstalkd's own verbs are in small letters
_OTHERS_TARGET = re.compile(
    rb"[A-Z]+[ \t]+(?:/|\*|[A-Za-z][A-Za-z0-9+.-]*:)"
)  # PUT and DELETE are verbs here too: with a path or an address

_PUT = re.compile(rb" *(\d+) +(\d+) +(\d+) +(\d+)(.*)", re.DOTALL)
_ID = re.compile(rb" *(\d+)\Z")
_ID_PRI = re.compile(rb" *(\d+) +(\d+)\Z")
_ID_PRI_DELAY = re.compile(rb" *(\d+) +(\d+) +(\d+)\Z")
_PAUSE = re.compile(rb" *([A-Za-z0-9\-+/;.$_()]+) +(\d+)\Z")
_C_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?\d+)")
_LONG_MAX = (1 << 63) - 1
_TEXT = frozenset(range(0x20, 0x7F)) | {0x0A, 0x0D}


def parse(line: bytes) -> Asked:
    """A line without its end."""
    if b"\0" in line:
        return _BAD
    for prefix, reader in _BEGINNINGS:
        if line.startswith(prefix):
            return reader(line[len(prefix) :])
    return FOREIGN if is_foreign(line) or is_foreign_end(line) else _UNKNOWN


def is_foreign(line: bytes) -> bool:
    """Whether a line, or the beginning of one that is too long, is of HTTP, SMTP or another protocol of words and headers."""
    if _HEADER.match(line) or _OTHERS_TARGET.match(line):
        return True
    found = _SHOUTED.match(line)
    return found is not None and found[0].strip().lower() not in _VERBS


def is_foreign_end(line: bytes) -> bool:
    """Whether a line ends as the first line of an HTTP request does, whatever it begins with."""
    return _VERSION.search(line) is not None


def is_foreign_start(byte: int) -> bool:
    """Whether a connection that begins with this byte is not text: TLS begins with 0x16, STUN with 0 or 1."""
    return byte not in _TEXT


def _put(rest: bytes) -> Asked:
    """The values, and whether anything follows them: beanstalkd checks the size first."""
    found = _PUT.match(rest)
    if found is None:
        return _BAD
    pri, delay, ttr, size = int(found[1]), int(found[2]), int(found[3]), int(found[4])
    if max(pri, delay, ttr, size) > TUBE_NUMBER_MAX:
        return _BAD
    return ("put", pri, delay, ttr, size, bool(found[5]))


def _bare(verb: str) -> Callable[[bytes], Asked]:
    asked: Asked = (verb,)
    return lambda rest: _BAD if rest else asked


def _by_id(verb: str) -> Callable[[bytes], Asked]:
    def read(rest: bytes) -> Asked:
        found = _ID.match(rest)
        return _BAD if found is None or (job_id := int(found[1])) > TUBE_ID_MAX else (verb, job_id)

    return read


def _by_tube(verb: str) -> Callable[[bytes], Asked]:
    def read(rest: bytes) -> Asked:
        name = rest.decode("latin-1")
        return (verb, name) if is_tube(name) else _BAD

    return read


def _bury(rest: bytes) -> Asked:
    found = _ID_PRI.match(rest)
    if found is None or int(found[1]) > TUBE_ID_MAX or int(found[2]) > TUBE_NUMBER_MAX:
        return _BAD
    return ("bury", int(found[1]), int(found[2]))


def _release(rest: bytes) -> Asked:
    found = _ID_PRI_DELAY.match(rest)
    if found is None or int(found[1]) > TUBE_ID_MAX or max(int(found[2]), int(found[3])) > TUBE_NUMBER_MAX:
        return _BAD
    return ("release", int(found[1]), int(found[2]), int(found[3]))


def _pause(rest: bytes) -> Asked:
    found = _PAUSE.match(rest)
    if found is None or int(found[2]) > TUBE_NUMBER_MAX or not is_tube(found[1].decode()):
        return _BAD
    return ("pause-tube", found[1].decode(), int(found[2]))


def _timeout(rest: bytes) -> Asked:
    """A whole number of seconds. beanstalkd waits 0 s for anything else, and for ever below 0: a typing error there turns into
    a loop here.
    """
    found = _ID.match(rest)
    if found is None or (seconds := int(found[1])) > _LONG_MAX:
        return _BAD
    return ("reserve-with-timeout", seconds)


def _kick(rest: bytes) -> Asked:
    """As C's strtoul, where -1 is the largest number there is."""
    found = _C_NUMBER.match(rest)
    if found is None or abs(int(found[1])) > TUBE_ID_MAX:
        return _BAD
    return ("kick", int(found[1]) & TUBE_NUMBER_MAX)


def _auth(rest: bytes) -> Asked:
    return ("auth", rest) if rest else _BAD


_BEGINNINGS: tuple[tuple[bytes, Callable[[bytes], Asked]], ...] = (
    (b"put ", _put),
    (b"peek ", _by_id("peek")),
    (b"peek-ready", _bare("peek-ready")),
    (b"peek-delayed", _bare("peek-delayed")),
    (b"peek-buried", _bare("peek-buried")),
    (b"reserve-with-timeout ", _timeout),
    (b"reserve-job ", _by_id("reserve-job")),
    (b"reserve", _bare("reserve")),
    (b"delete ", _by_id("delete")),
    (b"release ", _release),
    (b"bury ", _bury),
    (b"kick ", _kick),
    (b"kick-job ", _by_id("kick-job")),
    (b"touch ", _by_id("touch")),
    (b"stats-job ", _by_id("stats-job")),
    (b"stats-tube ", _by_tube("stats-tube")),
    (b"stats", _bare("stats")),
    (b"use ", _by_tube("use")),
    (b"watch ", _by_tube("watch")),
    (b"ignore ", _by_tube("ignore")),
    (b"list-tubes-watched", _bare("list-tubes-watched")),
    (b"list-tube-used", _bare("list-tube-used")),
    (b"list-tubes", _bare("list-tubes")),
    (b"quit", lambda _: ("quit",)),
    (b"pause-tube", _pause),
    (AUTH, _auth),
)
_VERBS = frozenset(prefix.strip() for prefix, _ in _BEGINNINGS)
