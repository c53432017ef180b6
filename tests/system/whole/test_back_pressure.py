"""A store that stands still: what waits for it is bounded, the rest is told so at once, and what was taken is answered when it goes on."""

import select
import signal
from pathlib import Path
from typing import Any

import pytest

from holdfast import limits
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.servers import Call, Line, Server

pytestmark = pytest.mark.fresh

MIB = 1 << 20
NEVER = "1.1.1." + "0" * 32  # a token that no lease has


def extends(server: Server, count: int) -> Call:
    """So many commands in one call."""
    return Call(server, "POST", "/v1/leases/batch", {"extend": [{"token": NEVER}] * count})


def is_overloaded(line: Line, answer: tuple[int, Any]) -> None:
    """Refused at once, with when to come again."""
    assert (answer[0], answer[1]["code"]) == (503, "overloaded"), answer
    assert int(line.headers["Retry-After"]) >= 1
    assert answer[1]["retry_after_ms"] >= 1


def memory_bytes(pid: int, field: str = "VmRSS") -> int:
    """What a process takes of the machine's memory."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def test_no_more_commands_wait_than_the_bound_and_all_that_were_taken_are_answered(serve):
    server = serve()
    keeper = server.keeper
    server.send(signal.SIGSTOP, keeper)
    taken = [extends(server, 1_000) for _ in range(limits.IN_FLIGHT_COMMANDS // 1_000)]
    server.has_read_everything()
    for _ in range(3):
        late = Call(server, "POST", "/v1/queues/q/jobs", {"payload": 1})
        is_overloaded(late, late.answer())
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
    server.send(signal.SIGCONT, keeper)
    for call in taken:
        status, body = call.answer()
        assert status == 200
        assert [one["code"] for one in body["extend"]] == ["lease_lost"] * 1_000
    with server.client() as client:
        push(client, "q", "there is room again")


def test_a_batch_for_which_there_is_no_room_is_refused_as_a_whole(serve):
    server = serve()
    keeper = server.keeper
    with server.client() as client:
        client.post("/v1/jobs", json={"jobs": [{"queue": "q"}] * 1_000}).raise_for_status()
        jobs = lease(client, "q", max=1_000)
        server.send(signal.SIGSTOP, keeper)
        taken = [extends(server, 1_000) for _ in range(limits.IN_FLIGHT_COMMANDS // 1_000 - 1)] + [extends(server, 500)]
        server.has_read_everything()
        late = Call(server, "POST", "/v1/leases/batch", {"conclude": [{"token": job["lease"]["token"]} for job in jobs]})
        is_overloaded(late, late.answer())
        server.send(signal.SIGCONT, keeper)
        assert [call.answer()[0] for call in taken] == [200] * len(taken)
        counts = client.get("/v1/queues/q").json()["jobs"]
        assert (counts["leased"], counts["concluded"]) == (1_000, 0), "refused means that nothing was changed"
        assert conclude(client, jobs[0]).status_code == 200


def test_no_more_bytes_wait_than_the_bound_and_memory_follows_it(serve):
    size, budget = 8 * MIB, 128 * MIB
    fits = budget // size
    server = serve("--max-payload-bytes", str(size), "--memory-budget", str(budget))
    keeper = server.keeper
    before = memory_bytes(server.pid)
    server.send(signal.SIGSTOP, keeper)
    calls = [upload(server, size) for _ in range(2 * fits)]
    server.has_read_everything()
    waiting = memory_bytes(server.pid)
    refused = [call for call in calls if has_answer(call)]
    assert fits - 1 <= len(calls) - len(refused) <= fits + 1
    for call in refused:
        is_overloaded(call, call.answer())
    assert waiting - before < 3 * budget, "a payload is held once as it came and once on its way"
    server.send(signal.SIGCONT, keeper)
    kept = [call.answer() for call in calls if call not in refused]
    assert [status for status, _ in kept] == [201] * len(kept)
    with server.client() as client:
        assert client.get("/v1/queues/big").json()["bytes"] == len(kept) * size
    assert memory_bytes(keeper, "VmHWM") < before + 3 * budget


def upload(server: Server, size: int) -> Line:
    """A push of so many bytes, all of them sent."""
    line = Line(server)
    line.connection.request("POST", "/v1/queues/big/jobs", b"x" * size, {"Content-Type": "application/octet-stream"})
    return line


def has_answer(line: Line) -> bool:
    """Whether something has come back already."""
    readable, _, _ = select.select([line.connection.sock], [], [], 0)
    return bool(readable)
