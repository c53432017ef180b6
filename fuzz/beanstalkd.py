"""The grammar of the beanstalkd door: all commands, with good and odd arguments, and bodies of the right and the wrong length."""

from __future__ import annotations

from random import Random

from fuzz import mutation, values
from fuzz.case import CLOSE, HALF, RESET, Case
from fuzz.stock import Stock

TUBES = [*[name.encode() for name in values.QUEUES], b"fuzz+tube", b"fuzz/tube", b"fuzz;$()_"]
ODD_TUBES = [b"", b"-x", b"x" * 200, b"x" * 201, b"a b", b"\xff", b"a\0b", b"\xc3\xbc", b"default", b"."]
NUMBERS = [
    b"0",
    b"1",
    b"10",
    b"1023",
    b"1024",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-1",
    b"+1",
    b"1_0",
    b"0x1",
    b"1e1",
    b" 1",
    b"",
    b"01",
    b"x",
    b"1x",
    b"9" * 100,
    b"\xd9\xa3",
]
BARE = [b"stats", b"list-tubes", b"list-tube-used", b"list-tubes-watched", b"peek-ready", b"peek-delayed", b"peek-buried"]


def case(number: int, draw: Random, stock: Stock) -> Case:
    """One connection."""
    certain, notes, parts = True, [], []
    words: list[str] = []
    for _ in range(draw.choice([1, 3, 8, 20])):
        command = _command(draw, stock)
        words.append(command.split(b" ", 1)[0].split(b"\r", 1)[0].decode("latin-1"))
        if draw.random() < 0.08:
            command = _odd(draw)
            certain = False
            notes.append(f"odd {command[:30]!r}")
        parts.append(command)
    data = b"".join(parts)
    if draw.random() < 0.2:
        data = mutation.corrupted(data, draw, draw.choice(parts))
        certain = False
        notes.append("bytes")
    if draw.random() < 0.1:
        draw.shuffle(parts)
    end = draw.choice([HALF] * 4 + [RESET] * 2 + [CLOSE])
    if certain and end == HALF:
        data, end = data + b"quit\r\n", CLOSE
    else:
        words = []
    return Case(
        "beanstalkd",
        f"{number}: {', '.join(notes)[:100]}",
        mutation.segments(data, draw),
        end,
        draw.random() > 0.03 or bool(words),
        words or None,
        notes,
    )


def _number(draw: Random, good: list[bytes]) -> bytes:
    return draw.choice(NUMBERS) if draw.random() < 0.08 else draw.choice(good)


def _command(draw: Random, stock: Stock) -> bytes:
    tube = draw.choice(ODD_TUBES[1:4]) if draw.random() < 0.06 else draw.choice(TUBES)
    job = b"%d" % stock.job(draw) if draw.random() < 0.9 else draw.choice([b"0", b"18446744073709551615", b"99999999999"])
    small = [b"0", b"1", b"1024"]
    match draw.randrange(13):
        case 0 | 1 | 2:
            body = draw.choice(
                [b"x", b"", b"\r\n", b"\0" * 40, values.MARKUP.encode(), b"quit\r\n", b"y" * 5_000, draw.randbytes(50)]
            )
            return b"put %b %b %b %d\r\n%b\r\n" % (
                draw.choice(small),
                draw.choice([b"0", b"0", b"3600"]),
                draw.choice([b"0", b"1", b"60"]),
                len(body),
                body,
            )
        case 3:
            return b"use %b\r\n" % tube
        case 4:
            return draw.choice([b"watch %b\r\n", b"ignore %b\r\n"]) % tube
        case 5:
            return b"reserve-with-timeout 0\r\n"
        case 6:
            return (
                draw.choice(
                    [
                        b"delete %b\r\n",
                        b"touch %b\r\n",
                        b"kick-job %b\r\n",
                        b"peek %b\r\n",
                        b"stats-job %b\r\n",
                        b"reserve-job %b\r\n",
                    ]
                )
                % job
            )
        case 7:
            return b"release %b %b %b\r\n" % (job, _number(draw, small), _number(draw, [b"0", b"5"]))
        case 8:
            return b"bury %b %b\r\n" % (job, _number(draw, small))
        case 9:
            return b"kick %b\r\n" % _number(draw, [b"1", b"10"])
        case 10:
            return draw.choice([b"stats-tube %b\r\n" % tube, b"pause-tube %b %b\r\n" % (tube, _number(draw, [b"0"]))])
        case _:
            return draw.choice(BARE) + b"\r\n"


def _odd(draw: Random) -> bytes:
    number = draw.choice(NUMBERS)
    return draw.choice(
        [
            b"put %b 0 1 1\r\nx\r\n" % number,
            b"put 0 %b 1 1\r\nx\r\n" % number,
            b"put 0 0 %b 1\r\nx\r\n" % number,
            b"put 0 0 1 %b\r\nx\r\n" % number,
            b"put 0 0 1 5\r\nabcdefgh\r\n",
            b"put 0 0 1 9\r\nab\r\n",
            b"put 0 0 1 2\r\nab\n\n",
            b"put 0 0 1 1048577\r\n" + b"x" * 2_000,
            b"put 0 0 1 1048576\r\n" + b"y" * 70_000,
            b"reserve\r\n",
            b"reserve-with-timeout %b\r\n" % number,
            b"use %b\r\n" % draw.choice(ODD_TUBES),
            b"watch %b\r\n" % draw.choice(ODD_TUBES),
            b"stats-tube %b\r\n" % draw.choice(ODD_TUBES),
            b"delete %b\r\n" % number,
            b"kick %b\r\n" % number,
            b"stats \r\n",
            b"stats\n",
            b"stats\r",
            b"\r\n",
            b"\0\r\n",
            b"x" * 223 + b"\r\n",
            b"x" * 9_000 + b"\r\n",
            b"PUT 0 0 1 1\r\nx\r\n",
            b"put  0 0 1 1\r\nx\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"watch fuzz%d\r\n" % draw.randrange(5),
        ]
    )
