"""Frames between front and keeper: however the stream is cut, what was put in comes out, whole and in order."""

import asyncio
import socket
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.engine.commands import ConcludeLease, Enqueue, Enqueued, Granted, LeaseJobs, Refused
from holdfast.engine.events import Committed, JobEvent
from holdfast.job.job import Extras, IdempotencyKey, LeaseRef, NewJob, Receipt, State
from holdfast.keeper.frames import Answered, Asked, Frames, Hello, frame
from holdfast.stores.queries import GetJob

payloads = st.binary(max_size=5_000)
texts = st.text(max_size=20)
requests = st.one_of(
    st.builds(
        Enqueue,
        st.lists(
            st.builds(NewJob, texts, payloads, texts, extras=st.builds(Extras, tags=st.lists(texts).map(tuple))), max_size=3
        ),
        st.none() | st.builds(IdempotencyKey, texts, texts, payloads),
    ),
    st.builds(LeaseJobs, st.lists(texts).map(tuple), st.integers(1, 1_000), texts),
    st.builds(ConcludeLease, st.builds(LeaseRef, *[st.integers(1, 2**53)] * 3, st.binary(min_size=16, max_size=16)), payloads),
    st.builds(GetJob, st.integers(1, 2**53)),
)
numbers = st.integers(1, 2**40)
asked = st.builds(Asked, st.lists(st.tuples(numbers, requests), max_size=4), st.none() | st.booleans(), st.none() | payloads)
results = st.one_of(
    st.builds(Refused, texts, texts, st.dictionaries(texts, texts | st.integers(0, 2**40) | st.none(), max_size=3)),
    st.builds(
        Enqueued,
        st.lists(st.builds(Receipt, numbers, texts, st.sampled_from(State), *[st.integers(0, 2**40)] * 4), max_size=3),
        st.booleans(),
    ),
    st.builds(Granted, st.just([]), numbers),
)
news = st.builds(
    Committed,
    st.dictionaries(texts, st.integers(1, 9), max_size=3),
    st.lists(texts, max_size=3),
    st.lists(st.builds(JobEvent, texts, numbers, texts, st.sampled_from([*State, None]), numbers), max_size=3),
)
answered = st.builds(
    Answered,
    st.lists(st.tuples(numbers, results), max_size=4),
    st.lists(news, max_size=3),
    st.none() | st.builds(Hello, texts, st.integers(0, 9), st.none() | texts),
)


def reader(kind: type) -> tuple[Frames, list]:
    """A cutter of frames of this kind, and what it has taken out so far."""
    taken: list = []
    return Frames(msgspec.msgpack.Decoder(kind), taken.append, lambda: None), taken


def feed(frames: Frames, stream: bytes, cuts: list[int]) -> None:
    """Hand over the stream in the pieces between these places."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        frames.data_received(stream[start:end])


@pytest.mark.parametrize(("kind", "messages"), [(Asked, asked), (Answered, answered)], ids=["to-the-keeper", "from-it"])
def test_a_stream_of_frames_cut_anywhere_gives_the_same_messages(kind, messages):
    @settings(deadline=None)
    @given(st.lists(messages, max_size=6), st.lists(st.integers(0, 2**30), max_size=30))
    def anywhere(sent: list, cuts: list[int]) -> None:
        frames, taken = reader(kind)
        feed(frames, b"".join(frame(message) for message in sent), cuts)
        assert taken == sent

    anywhere()


def test_a_stream_that_comes_byte_by_byte_gives_the_same_messages():
    sent = [Asked([(n, Enqueue([NewJob("q", b"x" * n)]))]) for n in range(3)]
    frames, taken = reader(Asked)
    for byte in b"".join(frame(message) for message in sent):
        frames.data_received(bytes([byte]))
    assert taken == sent


def test_many_frames_in_one_read_are_taken_at_once_and_the_rest_waits_for_its_end():
    sent = [Asked([(n, GetJob(n))]) for n in range(1, 1_001)]
    stream = b"".join(frame(message) for message in sent)
    frames, taken = reader(Asked)
    frames.data_received(stream[:-1])
    assert taken == sent[:-1]
    frames.data_received(stream[-1:])
    assert taken == sent


def test_what_was_taken_stays_as_it_was_when_the_buffer_moves_on():
    """A payload is a copy: what comes later does not write over it."""
    frames, taken = reader(Asked)
    for letter in (b"a", b"b", b"c"):
        stream = frame(Asked([(1, Enqueue([NewJob("q", letter * 1_000)]))]))
        frames.data_received(stream[:500])
        frames.data_received(stream[500:])
    assert [message.requests[0][1].jobs[0].payload[:1] for message in taken] == [b"a", b"b", b"c"]


async def test_a_frame_of_64_mib_goes_through_a_socket():
    ours, theirs = socket.socketpair()
    taken: list[Asked] = []
    got = asyncio.Event()
    whole = Frames(msgspec.msgpack.Decoder(Asked), lambda message: (taken.append(message), got.set()), lambda: None)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_unix_connection(lambda: whole, sock=theirs)
    writer, _ = await loop.create_unix_connection(asyncio.Protocol, sock=ours)
    writer.write(frame(Asked([(1, Enqueue([NewJob("q", b"x" * (64 << 20))]))])))
    await asyncio.wait_for(got.wait(), 30)
    assert len(taken[0].requests[0][1].jobs[0].payload) == 64 << 20
    writer.close()
    transport.close()
