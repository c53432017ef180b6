"""Whatever jobs, workers and errors hold is shown as text, and never slows a screen."""

import html
import json

import pytest

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7919*7907}}${7919*7907}"
RECKONED = "62615533"  # what a template that ran would have made of it
RTL = "\u202egnp.exe\u2066"


@pytest.fixture
def hostile(browser, queue):
    """A dead and a running job, full of markup, in every field that takes text."""
    (dead,) = browser.put(queue, {EVIL: [EVIL, RTL]}, type=EVIL[:60], tags=[EVIL[:60], RTL], unique_key=EVIL)
    (job,) = browser.lease(queue, worker=EVIL)
    browser.end("fail", job, reason=EVIL + RTL, retry=False)
    (running,) = browser.put(queue, {"x": EVIL}, type=EVIL[:60], group_key=EVIL)
    (held,) = browser.lease(queue, worker=EVIL)
    browser.end("extend", held, progress={"at": EVIL})
    browser.http.post("/v1/workers", json={"queues": [queue], "name": EVIL})
    yield dead, running
    browser.end("conclude", held, result={"<b>": EVIL})


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?queue={queue}",
        "/jobs/{dead}",
        "/jobs/{running}",
        "/jobs/{dead}/payload",
        "/failures?queue={queue}",
        "/workers",
        "/queues/{queue}",
        "/enqueue?from={dead}",
        "/bulk?way=retry&all=1&queue={queue}",
    ],
)
def test_markup_is_text_on_every_screen(browser, queue, hostile, markup, path):
    shown = browser.get(path.format(queue=queue, dead=hostile[0], running=hostile[1]))
    assert "<script>alert" not in shown
    assert "<img" not in shown
    assert RECKONED not in shown
    for tag, attributes in markup(shown).tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img"


def test_markup_in_addresses_is_text_too(browser, markup):
    for path in (
        f"/jobs?text={html.escape(EVIL)}",
        "/?q=%3Cscript%3E",
        "/failures?queue=%22%3E%3Cscript%3E",
        "/find?q=%3Cb%3E",
        "/workers?q=%3Cscript%3Ealert(1)",
        "?done=%3Cscript%3E&n=%3Cb%3E",
    ):
        answer = browser.http.get(f"/web{path}")
        assert "<script>a" not in answer.text
        assert "<script></" not in answer.text


def test_a_result_full_of_markup_is_text(browser, queue):
    (job,) = browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, result={"r": EVIL})
    assert html.escape("<script>alert(1)") in browser.get(f"/jobs/{job}/result")


@pytest.mark.parametrize("part", ["payload", "result"])
def test_a_download_is_a_file_and_never_a_page(browser, queue, part):
    answer = browser.http.post(
        f"/v1/queues/{queue}/jobs", content=b"<html><script>alert(1)</script>", headers={"content-type": "text/html"}
    )
    number = answer.json()["id"]
    (held,) = browser.lease(queue)
    browser.end("conclude", held, result="<script>")
    got = browser.http.get(f"/web/jobs/{number}/{part}?download=1")
    assert got.headers["content-disposition"].startswith(f'attachment; filename="job-{number}-{part}.')
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]


def test_a_payload_of_five_megabytes_is_cut_on_every_screen(serve, open_browser):
    browser = open_browser(serve("--max-payload-bytes", str(8 << 20)).url)
    large = "x" * (5 << 20)
    ids = browser.put("q", large, count=3)
    for path in (
        "/jobs",
        "/jobs?queue=q&text=nothing",
        f"/jobs/{ids[0]}",
        f"/enqueue?from={ids[0]}",
        f"/jobs/{ids[0]}/edit",
        "/bulk?way=cancel&all=1",
    ):
        assert len(browser.get(path)) < 100_000, path
    shown = browser.get(f"/jobs/{ids[0]}/payload")
    assert len(shown) < 100_000
    assert "The first 64.0 KiB of 5.0 MiB." in " ".join(shown.split())
    assert len(browser.http.get(f"/web/jobs/{ids[0]}/payload?download=1").content) == len(large) + 2
    where = browser.send(f"/jobs/{ids[0]}/clone").headers["location"]
    assert f"/jobs/{ids[2] + 1}" in where


def test_bytes_that_are_no_text_are_shown_with_marks(browser, queue):
    answer = browser.http.post(
        f"/v1/queues/{queue}/jobs", content=bytes(range(256)), headers={"content-type": "application/x-thing"}
    )
    number = answer.json()["id"]
    assert "\ufffd" in browser.get(f"/jobs/{number}/payload")
    assert browser.http.get(f"/web/jobs/{number}/payload?download=1").content == bytes(range(256))
    browser.get(f"/jobs?queue={queue}")


def test_json_that_is_no_utf8_surrogate_or_very_deep_is_still_shown(browser, queue):
    (job,) = browser.put(queue, json.loads("[" * 60 + "]" * 60))
    assert "[" in browser.text(f"/jobs/{job}/payload")
    answer = browser.http.post(
        f"/v1/queues/{queue}/jobs", content=rb'{"payload": "\ud800"}', headers={"content-type": "application/json"}
    )
    if answer.status_code == 201:
        browser.get(f"/jobs/{answer.json()['id']}/payload")


def test_a_reason_of_the_greatest_length_is_folded(browser, queue):
    (job,) = browser.die(queue, "long " * 1_600)
    shown = browser.get(f"/jobs/{job}")
    assert "<details><summary>" in shown
    assert len(browser.get(f"/failures?queue={queue}")) < 30_000
