"""The parser: the same commands however the bytes are cut, and no bytes that break it."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.doors.beanstalk.numbers import VERBS
from holdfast.doors.beanstalk.parser import Feed

BODY_BYTES = 20
LINE = st.one_of(
    st.sampled_from([verb.encode() for verb in VERBS]),
    st.binary(max_size=300),
    st.builds(lambda *numbers: b"put %d %d %d %d" % numbers, *[st.integers(0, 2**33)] * 3, st.integers(0, 2 * BODY_BYTES)),
    st.builds(lambda verb, n: f"{verb} {n}".encode(), st.sampled_from(VERBS), st.integers(-1, 2**65)),
)
STREAM = st.lists(st.one_of(LINE.map(lambda line: line + b"\r\n"), st.binary(max_size=60))).map(b"".join)


def read(pieces):
    feed = Feed(BODY_BYTES)
    commands = []
    for piece in pieces:
        feed.add(piece)
        while (asked := feed.next()) is not None:
            commands.append(asked)
    return commands


@given(STREAM, st.lists(st.integers(0, 2_000)))
@example(b"put 0 0 1 3\r\nabc\r\nput 0 0 1 30\r\n" + b"x" * 32 + b"\r\n", list(range(60)))
@example(b"a" * 223 + b"\r\nuse x\r\n", [223, 224, 225])
@example(b"a" * 222 + b"\r\nuse x\r\n", [222, 223, 224])
def test_the_same_commands_however_the_bytes_are_cut(stream, cuts):
    cuts = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert read(pieces) == read([stream]) == read([stream[n : n + 1] for n in range(len(stream))])


def test_a_large_body_in_small_pieces_is_read_in_time():
    feed = Feed(64 << 20)
    feed.add(b"put 0 0 60 %d\r\n" % (32 << 20))
    assert feed.next() is None
    piece = b"x" * (64 << 10)
    for _ in range(512):
        feed.add(piece)
        if _ < 511:
            assert feed.next() is None
    feed.add(b"\r\nuse a\r\n")
    verb, *_, body = feed.next()
    assert (verb, len(body)) == ("put", 32 << 20)
    assert feed.next() == ("use", "a")
    assert feed.is_between
