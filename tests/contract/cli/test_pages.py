"""`top`, `stats`, `events` and the progress bar, on real terminals and through pipes."""

import json
import threading
import time


def test_top_shows_queues_and_workers_and_heeds_its_keys(terminal, witness, queue):
    for n in range(3):
        witness.enqueue(queue, n)
    worker = witness.register_worker([queue], f"w-{queue}")
    page = terminal("top", "--every", "100ms")
    page.read_until("sorted by backlog")
    page.read_until(queue)
    page.read_until(f"w-{queue}")
    page.press("s")
    page.read_until("sorted by full")
    page.press("p")
    page.read_until("PAUSED")
    page.press("p")
    for n in range(4):  # the fullest is on top, however many queues there are
        witness.enqueue(f"{queue}-new", n)
    page.read_until(f"{queue}-new")
    page.press("q")
    assert page.end() == 0
    assert page.settings() == page.before, "the terminal is as it was"
    witness.remove_worker(worker.id)


def test_top_fits_a_terminal_whose_size_changes(terminal, witness, queue):
    for n in range(12):
        witness.enqueue(f"{queue}-{n:02}")
    page = terminal("top", "--every", "1h", "--sort", "name")
    page.read_until("WORKERS")
    page.resize(12, 60)
    small = page.frame(lines=12, columns=60)
    assert any(line.startswith("… ") and " more" in line for line in small), small
    assert [line.split()[:3] for line in small if line.startswith("QUEUE")] == [["QUEUE", "READY", "LEASED"]]
    page.resize(50, 200)
    large = page.frame(lines=50, columns=200)
    assert [line.split()[1] for line in large if line.startswith("QUEUE")] == ["SCHEDULED"]
    assert len(large) > len(small)
    page.press("q")
    assert page.end() == 0


def test_top_without_a_terminal_prints_one_page_and_says_so(holdfast, witness, queue):
    witness.enqueue(queue)
    done = holdfast("top")
    assert done.returncode == 0
    assert queue in done.stdout
    assert "no terminal" in done.stderr
    assert "\x1b" not in done.stdout
    assert json.loads(holdfast("top", "--json").stdout)["queues"]


def test_top_says_when_there_is_no_server(terminal):
    page = terminal("top", "--url", "http://127.0.0.1:1")
    page.read_until("[unreachable]")
    assert page.end() == 3


def test_stats_are_a_page_or_json_and_come_again_with_watch(holdfast, witness, queue):
    witness.enqueue(queue)
    page = holdfast("stats").stdout
    (line,) = [line.split() for line in page.splitlines() if line.split()[:1] == [queue]]
    assert line[1:6] == ["0", "1", "0", "0", "0%"]
    again = holdfast("stats", "--json", "--watch", "--every", "10ms", "--count", 3).stdout
    assert [json.loads(each)["jobs"]["ready"] > 0 for each in again.splitlines()] == [True] * 3


def test_events_are_followed_as_they_happen(holdfast, witness, queue):
    said = []
    reader = threading.Thread(
        target=lambda: said.append(
            holdfast("events", "--follow", "--queue", queue, "--event", "cancelled", "--count", 1, "--json")
        )
    )
    reader.start()
    while reader.is_alive():
        witness.cancel(witness.enqueue(queue, delay_ms=60_000).id)
        time.sleep(0.05)  # between two that may come before the reader listens
    event = json.loads(said[0].stdout)
    assert (event["event"], event["queue"], event["state"]) == ("cancelled", queue, "cancelled")


def test_many_lines_show_a_bar_on_a_terminal_and_nothing_in_a_pipe(terminal, holdfast, witness, queue, tmp_path):
    lines = "".join(f"{n}\n" for n in range(2_500))
    (tmp_path / "lines").write_text(lines)
    with (tmp_path / "lines").open() as file:
        page = terminal("job", "push", queue, "--ndjson", stdin=file)
        page.read_until("100%")
        page.read_until("2,500 jobs are put")
    assert page.end() == 0
    assert witness.queue(queue).jobs.ready == 2_500
    assert holdfast("job", "push", queue, "--ndjson", stdin=lines).stderr == ""
