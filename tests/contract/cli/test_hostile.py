"""What a shell, a locale and a network may do to a command: it says what is wrong, and its exit code never claims what it does not know."""

import pytest

from tests.contract.client.proxy import PASS, Proxy, answer

ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_TEXT = "\udcff"  # how the byte 0xff, which is no UTF-8, stands in an argument


@pytest.fixture
def proxy(shared):
    one = Proxy(shared.port)
    yield one
    one.close()


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "403 Forbidden", "502 Bad Gateway"])
@pytest.mark.parametrize(
    "words", [("job", "push", "q-html", "1"), ("queue", "ls"), ("events",), ("events", "--follow")], ids=" ".join
)
def test_a_page_of_a_proxy_is_no_answer_and_nothing_in_it_steers_the_terminal(holdfast, proxy, status, words):
    for _ in range(50):
        proxy.refuse.append(answer(status, "<html>\x1b]0;owned\x07log in</html>"))
    done = holdfast(*words, "--url", proxy.url, "--deadline", "1s")
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("job", "push", "q", "1", "--type", NO_TEXT),
        ("job", "push", "q", f'"{NO_TEXT}"'),
        ("job", "push", "q", "1", "--meta", f"a={NO_TEXT}"),
        ("job", "ls", "--text", NO_TEXT),
        ("queue", "info", NO_TEXT),
    ],
    ids=lambda words: words[-1].encode(errors="backslashreplace").decode(),
)
def test_an_argument_that_is_no_text_is_a_wrong_command(holdfast, words):
    done = holdfast(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not UTF-8" in done.stderr


def test_a_payload_is_what_was_typed_whatever_the_locale(holdfast, witness, queue):
    job = int(holdfast("job", "push", queue, '"\u00fc\u2603"', **ASCII_ONLY).stdout)
    assert witness.job(job).payload == "\u00fc\u2603"
    shown = holdfast("job", "ls", "--queue", queue, "-o", "payload", **ASCII_ONLY)
    assert shown.returncode == 0, shown.stderr


def test_input_that_can_never_be_taken_is_not_told_to_be_repeated(holdfast, queue):
    wrong = holdfast("job", "push", queue, "--ndjson", stdin="{\n2\n")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no job is enqueued" in wrong.stderr
    assert "--idempotency-key" not in wrong.stderr
    deep = holdfast("job", "push", queue, "-", stdin="[" * 100_000)
    assert (deep.returncode, "nested too deeply" in deep.stderr) == (2, True)


def test_input_that_is_mended_goes_on_where_it_broke_off(holdfast, witness, queue):
    lines = "".join(f"{number}\n" for number in range(1_500))
    broken = holdfast("job", "push", queue, "--ndjson", stdin=lines + "{\n7\n")
    assert (broken.returncode, len(broken.stdout.split())) == (2, 1_000)
    assert "1,000 jobs are enqueued, all of lines 1 to 1,000 among them" in broken.stderr
    assert "once it is mended" in broken.stderr
    key = broken.stderr.partition("--idempotency-key ")[2].split()[0]
    mended = holdfast("job", "push", queue, "--ndjson", "--idempotency-key", key, stdin=lines + "{}\n7\n")
    assert (mended.returncode, len(mended.stdout.split())) == (0, 1_502)
    assert witness.queue(queue).jobs.ready == 1_502


@pytest.mark.parametrize("option", ["--url", "--token", "--profile"])
def test_an_empty_address_is_refused_instead_of_meaning_another_server(holdfast, option):
    done = holdfast("queue", "ls", option, "")
    assert (done.returncode, "it is empty" in done.stderr) == (2, True)


def test_a_limit_beyond_all_bounds_is_named_with_the_bound(holdfast):
    for words in (("job", "ls"), ("events", "--follow")):
        done = holdfast(*words, "--limit" if words[0] == "job" else "--count", "9" * 30)
        assert (done.returncode, "1<=x<=1000000000" in done.stderr) == (2, True)


def test_who_waits_for_an_operation_when_the_server_dies_learns_how_to_wait_on(holdfast, witness, proxy, queue):
    for number in range(3):
        witness.enqueue(queue, number)
    begun = witness.start_operation("cancel", queue=queue, per_s=0.01)
    proxy.plan.extend([PASS, *[answer("502 Bad Gateway")] * 50])
    done = holdfast("operation", "wait", begun.id, "--url", proxy.url, "--deadline", "1s")
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        f"operation {begun.id} goes on once the server does; to wait for it: holdfast operation wait {begun.id}" in done.stderr
    )
    witness.cancel_operation(begun.id)
