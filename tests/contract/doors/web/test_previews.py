"""What a form means is said before it is sent, and the same call as commands, which do what the form would."""

import json
import re
import shlex
from html import unescape

import pytest


def preview(browser, path, **fields):
    """The preview, as scripts get it, and the commands in it."""
    data = {"form_token": browser.token(), **fields}
    answer = browser.http.post(f"/web{path}/preview", data=data, headers={"hx-request": "true"})
    assert answer.status_code == 200, answer.text
    commands = [unescape(one) for one in re.findall(r'<code id="same-\d"[^>]*>(.*?)</code>', answer.text, re.DOTALL)]
    return unescape(answer.text), commands


def test_a_job_is_previewed_and_its_commands_enqueue_the_same(browser, queue):
    fields = {
        "queue": queue,
        "type": "it's",
        "payload": '{"n": 12345678901234567890}',
        "priority": "5",
        "delay_ms": "1h 30m",
        "tags": "a, b",
    }
    said, (curl, line) = preview(browser, "/enqueue", **fields, meta="tenant=7", expires_in_ms="2d")
    assert "in 1 h 30 min" in said
    words = shlex.split(curl)
    body = words[words.index("--json") + 1]
    answer = browser.http.post(words[-1], content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201, answer.text
    job = browser.job(answer.json()["id"])
    assert (job["type"], job["priority"], job["tags"], job["meta"], job["state"]) == (
        "it's",
        5,
        ["a", "b"],
        {"tenant": "7"},
        "scheduled",
    )
    assert '"n": 12345678901234567890' in body
    assert shlex.split(line) == [
        "holdfast", "job", "push", queue, '{"n": 12345678901234567890}', "--type", "it's", "--priority", "5", "--delay", "1h30m",
        "--expires-in", "2d", "--tag", "a", "--tag", "b", "--meta", "tenant=7",
    ]  # fmt: skip
    assert browser.counts(queue) == {"scheduled": 1}, "the previews enqueued nothing"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"payload": '{"a": }'}, "The payload is not valid JSON"),
        ({"payload": "{}", "delay_ms": "soon"}, "delay_ms"),
        ({"payload": "{}", "queue": "no spaces"}, "queue must"),
        ({"payload": "{}", "priority": "-1"}, "priority must be a whole number"),
        ({"payload": "{}", "max_attempts": "0"}, "max_attempts must be"),
    ],
)
def test_what_would_be_refused_is_said(browser, queue, fields, says):
    said, commands = preview(browser, "/enqueue", **{"queue": queue, **fields})
    assert says in said
    assert commands == []


def test_a_schedule_is_previewed_in_its_zone_and_its_command_makes_the_same(browser, queue):
    fields = {
        "name": f"s-{queue}",
        "cron": "30 2 * * 1",
        "timezone": "Europe/Vienna",
        "queue": queue,
        "payload": '{"a": 1}',
        "missed": "all",
    }
    said, (curl, line) = preview(browser, "/schedules", **fields)
    runs = re.findall(r"Mon \d{4}-\d\d-\d\d 02:30:00 CES?T", said)
    assert len(runs) == 5
    assert sorted(runs) == runs
    words = shlex.split(curl)
    body = json.loads(words[words.index("--json") + 1])
    assert browser.http.put(words[-1], json=body).status_code == 200
    kept = browser.http.get(f"/v1/schedules/s-{queue}").json()
    assert (kept["cron"], kept["timezone"], kept["missed"], kept["overlap"]) == ("30 2 * * 1", "Europe/Vienna", "all", False)
    assert shlex.split(line)[:4] == ["holdfast", "schedule", "set", f"s-{queue}"]
    assert "--no-overlap" in line
    browser.http.delete(f"/v1/schedules/s-{queue}")


def test_a_schedule_that_never_runs_or_can_not_be_read_says_so(browser, queue):
    for given, says in (
        ({"cron": "0 0 30 2 *"}, "can't be read"),
        ({"cron": "x"}, "five fields"),
        ({"interval_ms": "1h", "timezone": "UTC"}, "every 1 h"),
    ):
        said, _ = preview(browser, "/schedules", name="n", queue=queue, payload="{}", **given)
        assert says in said, given


def test_without_scripts_a_preview_is_a_page(browser, queue):
    answer = browser.http.post("/web/enqueue/preview", data={"form_token": browser.token(), "queue": queue, "payload": "{}"})
    assert answer.status_code == 200
    assert "Nothing was changed." in answer.text
    assert browser.http.post("/web/enqueue/preview", data={"queue": queue}).status_code == 403


def test_a_text_is_previewed_with_its_options_and_never_names_a_file(browser, queue):
    fields = {"queue": queue, "payload": "@/etc/hostname", "kind": "text", "tags": "a, b", "meta": "tenant=7"}
    _, (curl,) = preview(browser, "/enqueue", **fields)
    words = shlex.split(curl)
    kind = words[words.index("-H") + 1].partition(": ")[2]
    assert words[words.index("--data-raw") + 1] == "@/etc/hostname", "any other option would have curl send that file"
    answer = browser.http.post(words[-1], content=b"@/etc/hostname", headers={"content-type": kind})
    assert answer.status_code == 201, answer.text
    job = browser.job(answer.json()["id"])
    assert (job["tags"], job["meta"]) == (["a", "b"], {"tenant": "7"})


def test_the_preview_of_a_clone_has_what_the_form_does_not_show(browser, queue):
    browser.http.put("/v1/budgets/cloned", json={"limit": 5}).raise_for_status()
    given = {
        "lease_ms": 1_234,
        "retry": {"base_ms": 7, "factor": 1.5, "max_ms": 9, "jitter": 0.0},
        "unique_key": "u",
        "unique_while": "queued",
        "fair_key": "tenant-7",
        "fair_cost": 3,
        "budgets": [{"name": "cloned", "key": "k=1", "cost": 2}],
    }
    (source,) = browser.put(queue, **given)
    fields = {"queue": queue, "payload": "1", "unique_key": "u", "fair_key": "tenant-7"}
    _, (curl,) = preview(browser, "/enqueue", **fields, **{"from": source})
    body = json.loads(shlex.split(curl)[2])
    assert {name: body[name] for name in given} == given
    _, (_, line) = preview(browser, "/enqueue", queue=queue, payload="-5", fair_key="tenant-7")
    assert shlex.split(line) == ["holdfast", "job", "push", "--fair-key", "tenant-7", "--", queue, "-5"]


def test_the_preview_of_a_change_of_a_schedule_keeps_what_the_form_does_not_show(browser, queue):
    spec = {"queue": queue, "interval_ms": 3_600_000, "priority": 7, "fair_key": "a", "paused": True}
    browser.http.put(f"/v1/schedules/kept-{queue}", json=spec).raise_for_status()
    fields = {"name": f"kept-{queue}", "queue": queue, "interval_ms": "2h", "payload": "1", "overlap": "1"}
    _, (curl, line) = preview(browser, "/schedules", **fields)
    words = shlex.split(curl)
    body = json.loads(words[words.index("--json") + 1])
    assert (body["priority"], body["fair_key"], body["paused"]) == (7, "a", True)
    assert {"--priority", "--fair-key", "--paused"} <= set(shlex.split(line))
    browser.http.delete(f"/v1/schedules/kept-{queue}")
