"""A disk that fails: an answer leaves only after its flush, and a flush that fails makes no one believe that he was answered.

The failures are made by strace, in the real keeper on a real file, and where there is none in the server: it lets the N-th flush fail as a
broken disk does.
"""

import pytest

from tests.system.whole.calls import lease, push
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.strace import Syscall, Tracer

pytestmark = pytest.mark.long(20)

WRITING = "trace=pwrite64,ftruncate,fdatasync,fsync,write,writev,sendto,sendmsg"


def answers_before_their_flush(calls: list[Syscall]) -> list[Syscall]:
    """Everything that left on a socket while something in the WAL was not flushed yet."""
    unflushed, early = False, []
    for call in calls:
        if call.target.endswith("-wal"):
            if call.name == "pwrite64":
                unflushed = True
            elif call.name in ("fdatasync", "fsync") and call.result == "0":
                unflushed = False
        elif call.target.startswith("socket:") and unflushed:
            early.append(call)
    return early


@pytest.mark.parametrize("fronts", ["0", "1"])
def test_an_answer_leaves_only_after_the_flush_of_what_it_answers(serve, tmp_path, fronts):
    server = serve("--fronts", fronts)
    tracer = Tracer(server.keeper, tmp_path / "trace", "-e", WRITING)
    with server.client() as client:
        for n in range(20):
            push(client, "alone", n)
    load = Load(server, callers=4)
    load.wait_for(pushes=100)
    load.stop()
    tracer.stop()
    calls = tracer.calls()
    answers = [call for call in calls if call.target.startswith("socket:")]
    flushes = [call for call in calls if call.target.endswith("-wal") and call.name == "fdatasync"]
    assert len(answers) >= 20
    assert len(flushes) >= 20
    assert answers_before_their_flush(calls) == []
    unflushed = [call for call in calls if call.name not in ("fdatasync", "fsync")]
    assert len(answers_before_their_flush(unflushed)) >= 20, "without its flushes the same trace would not pass"


@pytest.mark.parametrize(("flush", "fronts"), [(1, "1"), (1, "0"), (2, "1"), (7, "0"), (40, "1")])
def test_when_a_flush_fails_its_callers_are_told_that_nobody_knows_and_the_rest_is_there(serve, tmp_path, flush, fronts):
    server = serve("--fronts", fronts)
    load = Load(server)
    load.wait_for(pushes=50)
    tracer = Tracer(server.keeper, tmp_path / "trace", "-e", WRITING, "-e", f"inject=fdatasync:error=EIO:when={flush}")
    assert server.ended() == 1
    acknowledged = load.stop()
    tracer.stop()
    server.gone()
    assert any("outcome_unknown" in line for line in acknowledged.unknown), "whoever was in the batch is told so"
    assert "the store failed" in server.err.text
    with serve().client() as client:
        everything_is_there(client, acknowledged)


@pytest.mark.parametrize("fronts", ["0", "1"])
@pytest.mark.parametrize(
    ("file", "call"),
    [
        ("jobs.db-wal", "fdatasync"),
        ("jobs.db-wal", "pwrite64"),
        ("jobs.db", "fdatasync"),  # what goes wrong in the file itself goes wrong in a checkpoint, which SQLite would pass over
        ("jobs.db", "pwrite64"),
        ("jobs.db", "ftruncate"),
    ],
)
def test_after_a_failure_nothing_more_is_written_or_flushed_and_what_was_answered_is_there(
    serve, tmp_path, home, file, call, fronts
):
    """A later flush could succeed without having written what the failed one lost, so the files are left as they are."""
    server = serve("--fronts", fronts)
    store = home / "holdfast-data"
    options = ("-P", str(store / file), "-e", WRITING, "-e", f"inject={call}:error=EIO:when=1")
    tracer = Tracer(server.keeper, tmp_path / "trace", *options)
    kept, code = 0, ""
    with server.client() as client:
        while not code and kept < 40:
            answer = client.post("/v1/queues/q/jobs", content=b"x" * 900_000, headers={"Content-Type": "application/x-big"})
            kept += answer.status_code == 201
            code = answer.json().get("code", "")
    assert code == "outcome_unknown"
    assert server.ended() == 1
    tracer.stop()
    server.gone()
    calls = tracer.calls()
    (failed,) = [number for number, traced in enumerate(calls) if "EIO" in traced.result]
    assert calls[failed + 1 :] == []
    assert (store / "jobs.db-wal").exists()
    with serve().client() as client:
        assert kept <= len(lease(client, "q", max=50)) <= kept + 1
