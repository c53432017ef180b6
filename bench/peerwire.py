"""The protocols of the peers, as cheap as the HTTP client: the requests to beanstalkd and Redis, and parsing their replies.

Both answer with lines, some followed by a body. A reader gathers `batch` replies into one answer, because a batch is that many
commands sent in one write; with a batch of one nothing is pipelined. A life is put, reserve, delete at beanstalkd, and LPUSH,
LMOVE, LREM at Redis, the usual reliable-queue cycle there (without fencing, retries or counts).
"""

from collections.abc import Callable, Iterable

from bench.scripts import Tally, clock
from bench.wire import Script

LINE_END = b"\r\n"
Reply = tuple[bytes, bytes]


def beanstalk_body(line: bytes) -> int | None:
    """How many bytes of body follow a reply line of beanstalkd; None for none."""
    return int(line.rpartition(b" ")[2]) if line.startswith((b"RESERVED", b"OK")) else None


def redis_body(line: bytes) -> int | None:
    """The same for a reply of Redis (RESP 2): a bulk string has a body, unless it is null."""
    return int(line[1:]) if line.startswith(b"$") and line != b"$-1" else None


class ReplyReader:
    """Parses replies, as (line, body), from a stream and returns them `batch` at a time."""

    def __init__(self, body_of: Callable[[bytes], int | None], batch: int) -> None:
        self._body_of, self._batch = body_of, batch
        self._rest = b""
        self._gathered: list[Reply] = []

    def feed(self, data: bytes) -> list[list[Reply]]:
        data = self._rest + data
        answers, start = [], 0
        while (end := data.find(LINE_END, start)) >= 0:
            line, body, after = data[start:end], b"", end + 2
            if (length := self._body_of(line)) is not None:
                body, after = data[after : after + length], after + length + 2
                if after > len(data):
                    break
            start = after
            self._gathered.append((line, body))
            if len(self._gathered) == self._batch:
                answers.append(self._gathered)
                self._gathered = []
        self._rest = data[start:]
        return answers


def _refused(tally: Tally, step: str, replies: list[Reply], expected: bytes) -> bool:
    """Count a failure when a reply is not the expected one."""
    wrong = next((line for line, _ in replies if not line.startswith(expected)), None)
    if wrong is not None:
        tally.failed(step, (wrong.decode(errors="replace"), b""))
    return wrong is not None


def beanstalk_life(tally: Tally, turns: Iterable[None], batch: int, payload_bytes: int, caller: int) -> Script:
    """Put, reserve and delete `batch` jobs."""
    fill = (b"%d:" % caller).ljust(payload_bytes, b"x")
    put = b"put 1024 0 300 %d\r\n%s\r\n" % (len(fill), fill) * batch
    reserve = b"reserve-with-timeout 0\r\n" * batch
    for _ in turns:
        began = clock()
        if _refused(tally, "put", (yield put), b"INSERTED"):
            continue
        reserved = yield reserve
        if _refused(tally, "reserve", reserved, b"RESERVED"):
            continue
        deletes = b"".join(b"delete %s\r\n" % line.split()[1] for line, _ in reserved)
        if not _refused(tally, "delete", (yield deletes), b"DELETED"):
            tally.timed(began, batch)
            tally.concluded += batch


def beanstalk_puts(tally: Tally, turns: Iterable[None], batch: int, payload_bytes: int, caller: int) -> Script:
    """Put `batch` jobs in one write, again and again."""
    fill = (b"%d:" % caller).ljust(payload_bytes, b"x")
    put = b"put 1024 0 300 %d\r\n%s\r\n" % (len(fill), fill) * batch
    for _ in turns:
        began = clock()
        if not _refused(tally, "put", (yield put), b"INSERTED"):
            tally.timed(began, batch)


def redis_command(*parts: bytes) -> bytes:
    """One command in RESP."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def redis_life(tally: Tally, turns: Iterable[None], batch: int, payload_bytes: int, caller: int) -> Script:
    """Push, move to the list of those at work, and remove from it, `batch` jobs."""
    move = redis_command(b"LMOVE", b"waiting", b"working", b"RIGHT", b"LEFT") * batch
    for turn, _ in enumerate(turns):
        began = clock()
        fills = ((b"%d:%d:%d:" % (caller, turn, job)).ljust(payload_bytes, b"x") for job in range(batch))
        pushes = b"".join(redis_command(b"LPUSH", b"waiting", fill) for fill in fills)
        if _refused(tally, "LPUSH", (yield pushes), b":"):
            continue
        moved = yield move
        if not all(job for _, job in moved):
            tally.failed("LMOVE", ("found nothing", b""))
            continue
        removes = b"".join(redis_command(b"LREM", b"working", b"1", job) for _, job in moved)
        if not _refused(tally, "LREM", (yield removes), b":1"):
            tally.timed(began, batch)
            tally.concluded += batch


Life = Callable[[Tally, Iterable[None], int, int, int], Script]
PEERS: dict[str, tuple[Callable[[int], ReplyReader], Life]] = {
    "beanstalk": (lambda batch: ReplyReader(beanstalk_body, batch), beanstalk_life),
    "beanstalk puts": (lambda batch: ReplyReader(beanstalk_body, batch), beanstalk_puts),
    "redis": (lambda batch: ReplyReader(redis_body, batch), redis_life),
}
