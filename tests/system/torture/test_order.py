from pathlib import Path

from torture.checkers import order
from torture.faults import tracer
from torture.faults.tracer import SystemCall

WAL = "/var/lib/holdfast/jobs.db-wal"
SOCKET = "socket:[4711]"


def steps(*names: str) -> list[SystemCall]:
    """System calls one after the other, a second each."""
    files = {"pwrite64": WAL, "fdatasync": WAL, "sendto": SOCKET}
    return [
        SystemCall(name, files[name], float(at), at + 0.5, 0 if name == "fdatasync" else 100) for at, name in enumerate(names)
    ]


def test_write_then_sync_then_answer_is_the_correct_order():
    assert order.nothing_is_sent_over_unsynced_writes(steps("pwrite64", "pwrite64", "fdatasync", "sendto", "sendto")) == []


def test_an_answer_before_the_sync_of_its_writes_is_a_violation():
    found = order.nothing_is_sent_over_unsynced_writes(
        steps("pwrite64", "fdatasync", "sendto", "pwrite64", "sendto", "fdatasync")
    )
    assert [violation.checker for violation in found] == ["C11"]


def test_a_failed_sync_covers_nothing():
    failed = SystemCall("fdatasync", WAL, 1.0, 1.5, -1)
    written, _, sent = steps("pwrite64", "fdatasync", "sendto")
    assert len(order.nothing_is_sent_over_unsynced_writes([written, failed, sent])) == 1


def test_a_call_answered_after_a_whole_sync_is_no_violation(story):
    call = story.submit("a", ids=(1,), at=(100.0, 103.0))
    sync = SystemCall("fdatasync", WAL, 1101.0, 1102.0, 0)
    assert order.a_sync_lies_before_each_answer([call], [sync], 1000.0) == []


def test_a_call_answered_before_its_sync_has_ended_is_a_violation(story):
    call = story.submit("a", ids=(1,), at=(100.0, 101.5))
    sync = SystemCall("fdatasync", WAL, 1101.0, 1102.0, 0)
    assert len(order.a_sync_lies_before_each_answer([call], [sync], 1000.0)) == 1


def test_a_call_with_only_an_earlier_sync_is_a_violation(story):
    call = story.submit("a", ids=(1,), at=(101.5, 103.0))
    sync = SystemCall("fdatasync", WAL, 1101.0, 1102.0, 0)
    assert len(order.a_sync_lies_before_each_answer([call], [sync], 1000.0)) == 1


def test_a_trace_with_interleaved_calls_of_several_threads_is_read(tmp_path: Path):
    trace = tmp_path / "trace"
    trace.write_text(
        f'10 100.000000 pwrite64(5<{WAL}>, ""..., 4096, 0) = 4096 <0.000010>\n'
        f"10 100.100000 fdatasync(5<{WAL}> <unfinished ...>\n"
        f'11 100.110000 sendto(7<{SOCKET}>, ""..., 20, MSG_NOSIGNAL, NULL, 0) = 20 <0.000020>\n'
        "10 100.200000 <... fdatasync resumed>) = 0 <0.100000>\n"
        f"10 100.300000 fdatasync(5<{WAL}>) = -1 EIO (Input/output error) (INJECTED) <0.000010>\n"
        "10 100.400000 +++ killed by SIGKILL +++\n"
    )
    calls = tracer.read(trace)
    assert [(call.name, call.result) for call in calls] == [
        ("pwrite64", 4096),
        ("sendto", 20),
        ("fdatasync", 0),
        ("fdatasync", -1),
    ]
    assert (calls[2].begun, round(calls[2].ended, 6)) == (100.1, 100.2)
