"""What is printed steers no terminal; what can't be printed is no refusal; times carry their zone; option values are checked."""

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys

import click
import httpx
import pytest
from click.testing import CliRunner

from holdfast.cli.context import Duration
from holdfast.cli.entry import main
from holdfast.cli.output import harmless, json_text, one_line
from tests.contract.cli.shell import HOLDFAST, environment

pytestmark = [pytest.mark.long(40), pytest.mark.fresh]

EVIL = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;aGVsbG8=\x1b\\ \x9b31m \x90q\x9c \x7f\x08\x08\r"
    "\u202egnp.exe\u2066\u2069\u200f \u2028x\u2029 \x01\x02\x1f"
)
STEERING = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def planted(shared, witness, queue):
    """Escapes in every text that a job, a worker, a schedule, an interest may have; what they are called."""
    base = f"{shared.url}/v1"
    evil = {"payload": {EVIL: EVIL}, "type": EVIL, "tags": [EVIL, f"a\n\t{EVIL}"[:128]], "unique_key": EVIL, "group_key": EVIL}
    raw = json.dumps(evil, ensure_ascii=False)
    raw = re.sub("[\x00-\x1f]", lambda found: f"\\u{ord(found[0]):04x}", raw)  # C1, DEL and directions stay as they are
    job = httpx.post(f"{base}/queues/{queue}/jobs", content=raw.encode()).raise_for_status().json()["id"]
    worker = httpx.post(f"{base}/workers", json={"queues": [queue], "name": EVIL}).raise_for_status().json()["id"]
    token = httpx.post(f"{base}/leases", json={"queues": [queue], "worker": EVIL}).json()["jobs"][0]["lease"]["token"]
    extended = httpx.post(f"{base}/leases/{token}/extend", json={"progress": EVIL})
    assert extended.status_code == 200
    assert httpx.post(f"{base}/leases/{token}/fail", json={"reason": f"{EVIL}\n{EVIL}", "retry": False}).status_code == 200
    done = witness.enqueue(queue, EVIL, type=EVIL).id
    (held,) = witness.lease(queue, worker=EVIL)
    witness.conclude(held.lease.token, EVIL)
    waiting = witness.enqueue(queue, EVIL, type=EVIL, delay_ms=3_600_000).id
    settled = witness.enqueue(queue, EVIL).id
    witness.settle(settled, EVIL, result=EVIL)
    witness.set_schedule(queue, cron="0 0 1 1 *", queue=queue, payload=EVIL, type=EVIL, tags=[EVIL])
    witness.set_interest(queue, {"^x$": "\u202e\x9b"})
    yield {"job": job, "done": done, "waiting": waiting, "settled": settled, "worker": worker}
    witness.remove_worker(worker)
    witness.delete_schedule(queue)
    witness.delete_interest(queue)


def commands(queue, planted):
    job, done, waiting = planted["job"], planted["done"], planted["waiting"]
    yield from (["job", "get", each] for each in (job, done, waiting, planted["settled"]))
    yield from (
        ["job", "ls", "--queue", queue, "-o", each]
        for each in ("wide", "id,type,tags,payload,unique_key,group_key,reason,worker")
    )
    yield ["job", "ls", "--text", EVIL.replace("\x00", "")[:20]]
    yield ["job", "why", job]
    yield ["job", "why", waiting]
    yield ["job", "wait", done]
    yield ["job", "wait", job]
    yield ["job", "tail", job, done]
    yield ["job", "edit", waiting, "priority=3"]
    yield ["job", "delete", job, "--dry-run"]
    yield ["job", "retry", "--queue", queue, "--error", "red", "--dry-run"]
    yield ["job", "settle", "--queue", queue, "--as", "done", "--reason", "seen", "--dry-run"]
    yield ["job", "promote", waiting]
    yield ["job", "push", queue, json.dumps(EVIL), "--type", EVIL.replace("\x00", "")]
    yield ["worker", "ls", "-o", "wide"]
    yield ["worker", "delete", planted["worker"], "--dry-run"]
    yield ["worker", "quiet", planted["worker"]]
    yield ["schedule", "ls", "-o", "wide"]
    yield ["schedule", "info", queue]
    yield ["schedule", "delete", queue, "--dry-run"]
    yield ["interest", "ls"]
    yield ["interest", "delete", queue, "--dry-run"]
    yield ["queue", "ls"]
    yield ["queue", "info", queue]
    yield ["queue", "purge", queue, "--dry-run"]
    yield ["stats"]
    yield ["top"]
    yield ["job", "get", EVIL]
    yield ["schedule", "info", EVIL]
    yield ["queue", "info", "\u202e\x9b"]
    yield ["--url", "\x1b[31m", "job"]


def on_a_terminal(url, *args):
    """All that a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*HOLDFAST, *map(str, args)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment(url)
    )
    os.close(theirs)
    said = b""
    while True:
        assert select.select([ours], [], [], 60)[0], said
        try:
            part = os.read(ours, 65_536)
        except OSError:  # it has ended
            break
        said += part
        if not part:
            break
    os.close(ours)
    process.wait(20)
    return said.decode().replace("\r\n", "\n")


def test_nothing_that_others_wrote_steers_the_terminal_whatever_command_shows_it(shared, holdfast, planted, queue):
    for command in commands(queue, planted):
        said = holdfast(*command)
        assert "Traceback" not in said.stderr, (command, said.stderr)
        assert STEERING.findall(said.stdout + said.stderr) == [], command
        assert "\r" not in said.stdout + said.stderr, command
    for command in (["job", "ls", "--queue", queue], ["worker", "ls"], ["job", "get", planted["job"]], ["schedule", "ls"]):
        lines = holdfast(*command, "--json").stdout.splitlines()
        assert [STEERING.findall(line) for line in lines] == [[]] * len(lines)
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_nothing_steers_a_terminal_where_there_is_one(shared, planted, queue):
    for command in commands(queue, planted):
        if command[0] != "top":
            said = on_a_terminal(shared.url, *command)
            assert STEERING.findall(said) == [], (command, said)


def test_json_says_the_same_with_its_characters_escaped(holdfast, witness, planted):
    whole = json.loads(holdfast("job", "get", planted["job"], "--json").stdout)
    job = witness.job(planted["job"])
    assert (whole["payload"], whole["type"], whole["tags"]) == (job.payload, EVIL, job.tags)
    assert json.loads(holdfast("job", "wait", planted["done"]).stdout) == EVIL


def test_a_row_of_a_table_is_one_line_whatever_is_in_it(holdfast, planted, queue):
    said = holdfast("job", "ls", "--queue", queue, "-o", "id,tags,type,payload").stdout.splitlines()
    assert len(said) == 5


def test_the_live_page_shows_no_escapes_of_others(terminal, planted):
    top = terminal("top", "--every", "200ms")
    shown = top.read_until("WORKERS")
    shown += top.read_until("\\x1b[31mred")
    assert "\x1b[31mred\x1b[0m" not in shown
    assert "\x1b]0;title" not in shown
    top.press("q")
    assert top.end() == 0


def test_the_log_of_a_program_run_as_a_worker_steers_nothing(holdfast, witness, queue):
    witness.enqueue(queue, EVIL, type=EVIL, max_attempts=1)
    said = holdfast(
        "worker", "exec", "--queue", queue, "--until-empty", "-v", "--", "sh", "-c", r"printf '\033[31mred\302\233' >&2; exit 1"
    )
    assert "failed" in said.stderr
    assert STEERING.findall(said.stdout + said.stderr) == []
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ", said.stderr, re.MULTILINE), "its times have a zone"


@pytest.mark.parametrize("code", [*range(32), *range(127, 160), 0x61C, 0x200E, 0x202E, 0x2028, 0x2069, 0xFEFF, 0xD800])
def test_every_character_that_steers_is_shown_and_what_is_text_stays(code):
    char = chr(code)
    shown = harmless(f"a{char}b")
    assert (char in shown) == (char in "\t\n")
    assert char not in one_line(f"a{char}b")
    if code < 0xD800:
        assert json.loads(json_text({"x": char}))["x"] == char
        assert not STEERING.search(json_text({"x": char}))
    assert one_line("plain, žluťoučký 🙂 e\u0301") == "plain, žluťoučký 🙂 e\u0301"


# Output that can't be written -------------------------------------------------------------------------------------------


def run(url, args, redirection, folder, **more):
    """A command as a shell runs it, with this behind it."""
    line = " ".join(["exec", sys.executable, "-m", "holdfast", *map(str, args), redirection])
    return subprocess.run(
        ["/bin/bash", "-c", line],
        capture_output=True,
        text=True,
        env=environment(url) | more,
        cwd=folder,
        timeout=60,
        check=False,
    )


CHANGES = ["> /dev/full", ">&-", "> /dev/full 2> /dev/full", ">&- 2>&-", ">&- 2>&- <&-"]


@pytest.mark.parametrize("redirection", CHANGES)
def test_what_was_done_is_done_also_where_nobody_could_be_told(shared, witness, queue, tmp_path, redirection):
    put = run(shared.url, ["job", "push", queue, "1"], redirection, tmp_path)
    (job,) = witness.jobs(queue=queue)
    assert put.returncode == 6, put.stderr
    assert "Traceback" not in put.stderr
    if "2>" not in redirection:
        assert "standard output can't be written" in put.stderr
        assert f"it was done: {job.id}" in put.stderr
    ids = [job.id, witness.enqueue(queue).id]
    cancelled = run(shared.url, ["job", "cancel", *ids], redirection, tmp_path)
    assert cancelled.returncode == 6
    assert [witness.job(each).state for each in ids] == ["cancelled"] * 2, "it goes on with the others"
    gone = run(shared.url, ["job", "cancel", 999_999_999], redirection, tmp_path)
    assert gone.returncode == 4, "a refusal keeps its code"


@pytest.mark.parametrize("redirection", CHANGES)
@pytest.mark.parametrize(
    "command", [["job", "ls"], ["queue", "ls", "--json"], ["budget", "list"], ["stats"], ["--help"], ["job", "push", "--help"]]
)
def test_what_only_looks_ends_with_a_code_of_its_own(shared, witness, queue, tmp_path, redirection, command):
    witness.enqueue(queue)
    looked = run(shared.url, command, redirection, tmp_path)
    assert looked.returncode == 6
    assert "Traceback" not in looked.stderr
    assert "it was done" not in looked.stderr


def test_a_pipe_that_nobody_reads_any_more_ends_a_list_quietly(shared, witness, queue, tmp_path):
    for _ in range(3):
        witness.enqueue(queue, "x" * 30_000)
    listed = run(shared.url, ["job", "ls", "--queue", queue, "--json", "--limit", "1000"], "| head -c 10", tmp_path)
    assert (listed.stdout, "Traceback" in listed.stderr) == ('{"id":' + listed.stdout[6:], False)
    assert "Exception ignored" not in listed.stderr


def test_lines_that_are_put_are_put_whether_or_not_their_numbers_can_be_printed(shared, witness, queue, tmp_path):
    (tmp_path / "lines").write_text("".join(f"{n}\n" for n in range(2_500)))
    put = run(shared.url, ["job", "push", queue, "--ndjson"], "< lines > /dev/full", tmp_path)
    assert put.returncode == 6
    assert "2,500 jobs are enqueued" in put.stderr
    assert witness.queue(queue).jobs.ready == 2_500


@pytest.mark.parametrize(
    ("args", "code"),
    [(["profile", "ls"], 2), (["job", "ls", "--profile", "x"], 2), (["job", "ls"], 0), (["job", "push", "q"], 0)],
)
def test_a_user_without_a_home_can_use_all_but_profiles(shared, tmp_path, args, code):
    script = (
        "import os, sys\n"
        "os.environ.pop('HOME', None); os.getuid = lambda: 54321\n"
        "from holdfast.cli.entry import main\n"
        f"sys.argv = ['holdfast', *{args!r}]\nmain()\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(shared.url), timeout=60, check=False
    )
    assert (said.returncode, "Traceback" in said.stderr) == (code, False), said.stderr
    assert ("no home directory" in said.stderr) == (code == 2)


# Values of options -----------------------------------------------------------------------------------------------------

WRONG = [
    ["queue", "purge", "q", "--state", "bogus", "--dry-run"],
    ["queue", "purge", "q", "--state", "leased", "--yes"],
    ["queue", "purge", "q", "--state", "READY", "--dry-run"],
    ["job", "ls", "--state", "bogus"],
    ["job", "ls", "--limit", "0"],
    ["job", "ls", "-o", "bogus"],
    ["queue", "ls", "-o", "bogus"],
    ["events", "--event", "bogus", "--count", "1"],
    ["publish", "1", "--scope", "some"],
    ["schedule", "set", "s", "--cron", "* * * * *", "--queue", "q", "--missed", "bogus"],
    ["top", "--sort", "bogus"],
    ["completion", "tcsh"],
    ["job", "retry", "--state", "ready", "--dry-run"],
    ["job", "cancel", "--state", "dead", "--dry-run"],
    ["job", "delete", "--state", "leased", "--dry-run"],
    ["job", "cancel", "--queue", "q", "--older", "999999999999999d", "--dry-run"],
    ["job", "delete", "--queue", "q", "--dry-run"],
    ["job", "move", "--state", "leased", "--to", "q"],
    ["job", "move", "1"],
    ["job", "retry"],
    ["job", "retry", "1", "--queue", "q"],
    ["job", "settle", "1", "--as", "cancelled", "--reason", "x"],
    ["job", "settle", "1", "--as", "done"],
    ["worker", "exec", "--queue", "q", "--dead-code", "0", "--", "true"],
    ["worker", "exec", "--queue", "q", "--concurrency", "0", "--", "true"],
    ["worker", "exec", "--queue", "a b", "--", "true"],
    *(["job", "get", number] for number in ("1_0", "+1", "٣", "1e1", "0", "-1", "x", "01", " 1", "1" * 30)),
    *(["job", "delete", number, "--yes"] for number in ("1_0", "٣")),
    *(["job", "ls", "--deadline", span] for span in ("soon", "1_0s", "٣s", "9" * 400, "-1s", "nan", "inf", "1e3")),
]


@pytest.mark.parametrize("command", WRONG, ids=lambda command: " ".join(command)[:60])
def test_a_value_that_an_option_can_not_have_is_a_wrong_command(shared, command):
    said = CliRunner(env={"HOLDFAST_URL": shared.url}).invoke(main, command)
    assert (said.exit_code, type(said.exception)) == (2, SystemExit), said.output


@pytest.mark.parametrize(("given", "ms"), [("1.5s", 1_500), ("500ms", 500), ("2h", 7_200_000), ("7", 7_000), ("0", 0)])
def test_spans_are_read_as_they_are_written(given, ms):
    assert Duration().convert(given, None, None) == ms


@pytest.mark.parametrize("given", ["36501d", "999999999999999d", "999999999999999.999999999999999d"])
def test_a_span_that_no_date_can_be_counted_with_is_refused(given):
    with pytest.raises(click.BadParameter, match="more than 36500d"):
        Duration().convert(given, None, None)


def test_times_in_tables_say_their_zone(holdfast, witness, queue):
    witness.set_schedule(queue, cron="30 2 * * *", timezone="Europe/Vienna", queue=queue)
    job = witness.enqueue(queue).id
    instant = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
    for command in (
        ["schedule", "ls"],
        ["schedule", "ls", "-o", "wide"],
        ["job", "ls", "-o", "wide"],
        ["worker", "ls"],
        ["queue", "ls", "-o", "wide"],
    ):
        said = holdfast(*command).stdout
        assert {said[found.end() : found.end() + 1] for found in instant.finditer(said)} <= {"Z"}, said
    witness.cancel(job)
    assert instant.search(holdfast("job", "ls", "--queue", queue, "-o", "ready").stdout)
    witness.delete_schedule(queue)


def test_an_event_has_its_zone(shared, witness, queue):
    process = subprocess.Popen(
        [*HOLDFAST, "events", "--queue", queue, "--count", "1"], stdout=subprocess.PIPE, text=True, env=environment(shared.url)
    )
    assert process.stdout is not None
    while not select.select([process.stdout], [], [], 0.1)[0]:
        witness.enqueue(queue)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", process.stdout.readline())
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def test_an_error_of_the_system_that_is_not_about_output_is_told_as_what_it_is(monkeypatch, capsys):
    def fail(self: object, ctx: object) -> None:
        click.echo("begun")
        raise PermissionError(errno.EPERM, "Operation not permitted", "/somewhere")

    monkeypatch.setattr(click.Group, "invoke", fail)
    with pytest.raises(PermissionError, match="/somewhere"):
        main(["stats"], standalone_mode=False)
    assert "can't be written" not in capsys.readouterr().err
