"""Frames between front and keeper: however the stream is cut, what was put in comes out, whole and in order."""

import asyncio
import socket
import subprocess
import sys
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import Content, Extras, IdempotencyKey, Job, LeaseRef, NewJob, Receipt, State
from holdfast.job.queue import QueuePolicy
from holdfast.keeper.frames import Answered, Asked, Frames, Hello, frame
from holdfast.keeper.main import FrontConnection
from holdfast.limits import FRAME_BYTES, KEEPER_UNSENT_BYTES, KEEPER_UNSENT_BYTES_MAX
from holdfast.messages.answers import Enqueued, Granted, GrantedJob
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs
from holdfast.messages.events import Committed, JobEvent
from holdfast.messages.frame import Refused
from holdfast.messages.queries import GetJob, GetQueue, ListJobs
from holdfast.messages.views import JobDetail, JobPage
from holdfast.stores.sqlite.store import SqliteStore

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


async def test_an_answer_that_can_t_be_sent_fails_its_own_caller_only():
    """A number of 65 bits has no form in a frame: its caller is told so, and those whose answers were to go with it get theirs."""
    ours, theirs = socket.socketpair()
    taken: list[Answered] = []
    got = asyncio.Event()

    def take(message: Answered) -> None:
        taken.append(message)
        if sum(len(one.results) for one in taken) == 3 and any(one.news for one in taken):
            got.set()

    front = FrontConnection(0, NotImplemented, lambda _: None)
    far = Frames(msgspec.msgpack.Decoder(Answered), take, lambda: None)
    loop = asyncio.get_running_loop()
    line, _ = await loop.create_unix_connection(lambda: front.frames, sock=ours)
    reading, _ = await loop.create_unix_connection(lambda: far, sock=theirs)
    front.deliver(1, Granted([], 5))
    front.deliver(2, Granted([], 1 << 64))
    front.deliver(3, Granted([], 7))
    front.tell(Committed({"q": 1}))
    await asyncio.wait_for(got.wait(), 30)
    answers = dict(result for message in taken for result in message.results)
    assert (answers[1], answers[3]) == (Granted([], 5), Granted([], 7))
    assert isinstance(answers[2], Refused)
    line.close()
    reading.close()


async def test_answers_and_news_of_a_commit_leave_in_one_frame_before_the_loop_turns():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    front = FrontConnection(0, NotImplemented, lambda _: None)
    line, _ = await asyncio.get_running_loop().create_unix_connection(lambda: front.frames, sock=ours)
    front.hold(None)
    front.deliver(1, Granted([], 5))
    front.deliver(2, Granted([], 6))
    front.tell(Committed({"q": 1}))
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    front.send()
    sent = theirs.recv(1 << 16)
    assert int.from_bytes(sent[:4], "big") == len(sent) - 4
    message = msgspec.msgpack.decode(sent[4:], type=Answered)
    assert (message.results, message.news) == ([(1, Granted([], 5)), (2, Granted([], 6))], [Committed({"q": 1})])
    front.hold(None)
    front.send()
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    line.close()
    theirs.close()


async def test_what_is_large_leaves_in_frames_of_its_own():
    ours, theirs = socket.socketpair()
    frames_seen: list[int] = []
    results_seen: list[int] = []
    got = asyncio.Event()

    def take(message: Answered) -> None:
        frames_seen.append(len(message.results))
        results_seen.extend(number for number, _ in message.results)
        if len(results_seen) == 20:
            got.set()

    front = FrontConnection(0, NotImplemented, lambda _: None)
    far = Frames(msgspec.msgpack.Decoder(Answered), take, lambda: None)
    loop = asyncio.get_running_loop()
    line, _ = await loop.create_unix_connection(lambda: front.frames, sock=ours)
    reading, _ = await loop.create_unix_connection(lambda: far, sock=theirs)
    job = Job(1, "q", State.READY, 0, 0, 0, 0, 1, 1 << 20, 0, 0)
    for number in range(20):
        front.deliver(number, JobPage([JobDetail(job, Content("", None, b"x" * (1 << 20)), 0)]))
    await asyncio.wait_for(got.wait(), 30)
    assert results_seen == list(range(20))
    assert max(frames_seen) * (1 << 20) <= FRAME_BYTES
    line.close()
    reading.close()


async def test_small_answers_pass_a_large_one_that_is_under_way():
    """What is before a small answer on the socket is a piece, whatever else waits to be sent: counted in bytes read before it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    front = FrontConnection(0, NotImplemented, lambda _: None)
    loop = asyncio.get_running_loop()
    line, _ = await loop.create_unix_connection(lambda: front.frames, sock=ours)
    pages = [page_of(8 << 20) for _ in range(3)]
    for number, page in enumerate(pages):
        front.deliver(number, page)
    for _ in range(20):
        await asyncio.sleep(0)  # the socket is full
    front.deliver(10, Granted([], 5))
    front.tell(Committed({"q": 1}))
    read, came = 0, []
    far = Frames(
        msgspec.msgpack.Decoder(Answered),
        lambda message: came.extend((number, read) for number, _ in message.results),
        lambda: None,
    )
    async with asyncio.timeout(30):
        while len(came) < 4:
            data = await loop.sock_recv(theirs, 1 << 16)
            read += len(data)
            far.data_received(data)
    assert [number for number, _ in came] == [10, 0, 1, 2]
    assert came[0][1] < 1 << 20
    line.close()
    theirs.close()


async def test_a_large_answer_that_nobody_waits_for_is_not_sent_unless_it_has_leases_to_hand_back():
    ours, theirs = socket.socketpair()
    backend = LocalBackend(SqliteStore(None, QueuePolicy()), SystemClock())
    front = FrontConnection(0, backend, lambda _: None)
    taken: list[Answered] = []
    got = asyncio.Event()

    def take(message: Answered) -> None:
        taken.append(message)
        if len(taken) == 3:
            got.set()

    loop = asyncio.get_running_loop()
    line, _ = await loop.create_unix_connection(lambda: front.frames, sock=ours)
    front.deliver(1, page_of(8 << 20))
    front.deliver(2, page_of(8 << 20))
    (leased,) = page_of(8 << 20).jobs
    front.deliver(
        3, Granted([GrantedJob(leased.job, leased.content)], 5)
    )  # to who awaits jobs, just before it was known that it has left
    front.frames._take(Asked(left=[2, 3]))
    reading, _ = await loop.create_unix_connection(
        lambda: Frames(msgspec.msgpack.Decoder(Answered), take, lambda: None), sock=theirs
    )
    await asyncio.wait_for(got.wait(), 30)
    results = dict(result for message in taken for result in message.results)
    assert isinstance(results[1], JobPage)
    assert isinstance(results[2], Refused)
    assert isinstance(results[3], Granted)
    line.close()
    reading.close()
    await backend.stop()


async def test_what_brings_much_is_held_back_for_a_front_that_does_not_read():
    """What a front does not read piles up in the keeper: no page and no grant of many jobs is begun until it has caught up, and none of one job
    while it is far behind. The rest goes on.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    begun: list[object] = []

    class Noted:
        def request(self, request, sink, tag):
            begun.append(request)

    front = FrontConnection(0, Noted(), lambda _: None)
    loop = asyncio.get_running_loop()
    line, _ = await loop.create_unix_connection(lambda: front.frames, sock=ours)
    put, look, queue = Enqueue([NewJob("q", b"1")]), GetJob(1), GetQueue("q")
    one, many, page = LeaseJobs(("q",), 1, "w"), LeaseJobs(("q",), 2, "w"), ListJobs(50)
    asked_for = [look, one, many, page, queue, put]
    front.deliver(1, page_of(KEEPER_UNSENT_BYTES))
    front.frames._take(Asked(list(enumerate(asked_for))))
    assert begun == [look, one, queue, put]
    front.deliver(2, page_of(KEEPER_UNSENT_BYTES_MAX))
    front.frames._take(Asked(list(enumerate(asked_for, 10))))
    assert begun[4:] == [queue, put]
    async with asyncio.timeout(30):
        while len(begun) < 12:
            await loop.sock_recv(theirs, 1 << 20)
    assert begun[6:] == [many, page, look, one, many, page]
    line.close()
    theirs.close()


def page_of(size: int) -> JobPage:
    """A page with one job of so many bytes."""
    job = Job(1, "q", State.READY, 0, 0, 0, 0, 1, size, 0, 0)
    return JobPage([JobDetail(job, Content("", None, b"x" * size), 0)])


def test_every_message_is_known_whoever_imports_the_frames_first():
    program = (
        "from holdfast.keeper.frames import AnyAnswer, AnyRequest\n"
        "import holdfast.server\n"
        "from holdfast.messages.frame import Answer, Request, kinds_of\n"
        "assert set(kinds_of(Answer)) == set(AnyAnswer.__args__) and set(kinds_of(Request)) == set(AnyRequest.__args__)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
