"""A queue says who runs what, and which groups have no place left; a job that goes wrong says why at once."""


def test_a_queue_says_who_runs_its_jobs_registered_or_not(browser, queue, other):
    worker = browser.http.post("/v1/workers", json={"queues": [queue], "name": "gpu-7"}).json()["id"]
    browser.put(queue, count=9)
    browser.lease(queue, 6, worker="anna")
    browser.lease(queue, 1, worker=worker)
    browser.put(other)
    browser.lease(other, worker="berta")
    html = browser.get(f"/queues/{queue}")
    part = html[html.index('id="running-title"') :].partition("</section>")[0]
    assert part.index("anna") < part.index("gpu-7"), "those with the most first"
    assert "and 1 more" in part
    assert "berta" not in part


def test_a_queue_says_which_of_its_groups_run_and_which_jobs_have_their_places(browser, queue, markup):
    free = browser.put(queue, group_key="a-free", group_limit=3)
    full = browser.put(queue, count=4, group_key="full", group_limit=2)
    browser.put(queue)
    browser.lease(queue, 10)
    html = browser.get(f"/queues/{queue}")
    part = html[html.index('id="groups-title"') :].partition("</section>")[0]
    text = markup(part).text
    assert "full 2 of 2" in text
    assert "a-free 1 of 3" in text
    assert text.index("full") < text.index("a-free"), "those without a free place first"
    assert [f">{number}</a>" in part for number in (*free, *full)] == [True, True, True, False, False]


def test_a_queue_where_nothing_runs_says_nothing_of_it(browser, queue):
    browser.put(queue, group_key="g")
    html = browser.get(f"/queues/{queue}")
    assert "running-title" not in html
    assert "groups-title" not in html


def test_a_dead_job_says_its_last_error_first_of_all(browser, queue):
    (job,) = browser.put(queue, max_attempts=2)
    for reason in ("the first error", "the second error"):
        (held,) = browser.lease(queue)
        browser.end("fail", held, reason=reason, delay_ms=0)
    html = browser.get(f"/jobs/{job}")
    assert "Last error (attempt 2): " in html
    assert html.index("the second error") < html.index("Timeline") < html.index("the first error")


def test_a_job_that_went_well_in_the_end_does_not_dwell_on_its_errors(browser, queue):
    (job,) = browser.put(queue)
    for verb, more in (("fail", {"reason": "once", "delay_ms": 0}), ("conclude", {})):
        (held,) = browser.lease(queue)
        browser.end(verb, held, **more)
    assert "Its last error" not in browser.get(f"/jobs/{job}")
