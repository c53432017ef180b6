"""`GET /v1/jobs`: filters, order, and pages that give every job once."""

import base64

import pytest


@pytest.fixture
def mixed(api, queue):
    """A queue with jobs in every state; their numbers by state, in the order in which a listing should give them."""
    ids = {}
    held = [api.push(queue, group_key="g")["id"] for _ in range(2)]
    for state in ("concluded", "dead", "leased"):
        ids[state] = [api.push(queue, priority=1)["id"] for _ in range(2)]
        jobs = api.lease(queue, max=2)
        for job in jobs:
            if state == "concluded":
                api.ended("conclude", job)
            elif state == "dead":
                api.ended("fail", job, retry=False, reason=f"broke {job['id']}")
    ids["cancelled"] = [api.push(queue)["id"] for _ in range(2)]
    for job_id in ids["cancelled"]:
        api.post(f"/v1/jobs/{job_id}/cancel")
    late, early = (api.push(queue, delay_ms=delay)["id"] for delay in (900_000, 600_000))
    ids["scheduled"] = [early, late]
    last, first = (api.push(queue, priority=priority)["id"] for priority in (9_999, 5))
    ids["ready"] = [first, held[0], last, held[1]]
    for state in ("concluded", "dead", "cancelled"):
        ids[state].reverse()
    return ids


ORDER = ("leased", "ready", "scheduled", "dead", "cancelled", "concluded")


def page(api, **params):
    response = api.get("/v1/jobs", params=params)
    assert response.status_code == 200, response.text
    return response.json()


def pages(api, **params):
    """All jobs, page by page."""
    found, cursor = [], None
    while True:
        answer = page(api, **params, **({"cursor": cursor} if cursor else {}))
        assert len(answer["jobs"]) <= params.get("limit", 50)
        found += answer["jobs"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return [job["id"] for job in found]


def test_a_queue_is_listed_by_state_each_in_its_own_order(api, queue, mixed):
    assert pages(api, queue=queue) == [job_id for state in ORDER for job_id in mixed[state]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 13, 14, 15])
def test_pages_of_any_size_give_every_job_once(api, queue, mixed, limit):
    assert pages(api, queue=queue, limit=limit) == [job_id for state in ORDER for job_id in mixed[state]]


@pytest.mark.parametrize("state", ORDER)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_one_state_is_listed_alone(api, queue, mixed, state, limit):
    assert pages(api, queue=queue, state=state, limit=limit) == mixed[state]


def test_over_all_queues_every_job_is_listed_once(api, queues):
    wanted = {api.push(name, delay_ms=delay)["id"] for name in queues for delay in (0, 600_000)}
    for limit in (7, 1_000):
        mine = [job for job in pages(api, limit=limit) if job in wanted]  # others' leases may end while we turn the pages
        assert sorted(mine) == sorted(wanted)


def test_jobs_are_found_by_type_tag_and_text(api, queue):
    plain = api.push(queue, payload="find me ü")["id"]
    typed = api.push(queue, type="mail")["id"]
    tagged = api.push(queue, tags=["red", "blue"])["id"]
    failed = api.push(queue, priority=1)["id"]
    api.ended("fail", api.take(queue), reason="needle in it", delay_ms=0)
    assert pages(api, queue=queue, type="mail") == [typed]
    assert pages(api, queue=queue, tag="blue") == [tagged]
    assert pages(api, queue=queue, tag="blu") == []
    assert pages(api, queue=queue, text="me ü") == [plain]
    assert pages(api, queue=queue, text="needle") == [failed]
    assert pages(api, queue=queue, text="needle", state="scheduled") == []
    assert pages(api, queue=queue, type="mail", tag="red") == []


def test_jobs_are_found_by_all_of_the_meta_that_is_named(api, queue):
    both = api.push(queue, meta={"tenant": "7", "a.b": "x=&y"})["id"]
    one = api.push(queue, meta={"tenant": "7"})["id"]
    api.push(queue, meta={"tenant": "70"})
    assert pages(api, queue=queue, **{"meta.tenant": "7"}) == [both, one]
    assert pages(api, queue=queue, **{"meta.tenant": "7", "meta.a.b": "x=&y"}) == [both]
    assert pages(api, queue=queue, **{"meta.tenant": "7", "meta.none": ""}) == []


def test_text_is_taken_literally(api, queue):
    job_id = api.push(queue, payload="100% _ok_ 'quoted'")["id"]
    for text in ("100% _", "'quoted'", "_ok_"):
        assert pages(api, queue=queue, text=text) == [job_id]
    for text in ("100%ok", ".*", "' OR 1=1"):
        assert pages(api, queue=queue, text=text) == []


def test_filters_reach_across_pages(api, queue):
    wanted = []
    for number in range(30):
        job = api.push(queue, type="odd" if number % 2 else "even")
        if number % 2:
            wanted.append(job["id"])
    assert pages(api, queue=queue, type="odd", limit=4) == wanted


def test_payloads_are_left_out_on_request(api, queue):
    api.push(queue, payload="secret")
    (job,) = page(api, queue=queue, payload="false")["jobs"]
    assert "payload" not in job
    assert job["payload_bytes"] == 8
    (job,) = page(api, queue=queue, payload="true")["jobs"]
    assert job["payload"] == "secret"


def test_a_queue_that_nobody_knows_is_not_found(api, queue):
    assert api.refused(api.get("/v1/jobs", params={"queue": queue}), 404, "queue_not_found")["queue"] == queue


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("limit=0", "limit", ">= 1"),
        ("limit=1001", "limit", "<= 1000"),
        ("limit=x", "limit", "must be a whole number"),
        ("state=done", "state", "must be one of scheduled, ready"),
        ("state=", "state", "must be one of"),
        ("queue=a%20b", "queue", "1 to 200 of the characters"),
        ("queue=", "queue", "1 to 200 of the characters"),
        ("type=" + "x" * 129, "type", "<= 128"),
        ("tag=" + "x" * 129, "tag", "<= 128"),
        ("text=" + "x" * 1_001, "text", "<= 1000"),
        ("text=%00", "text", "NUL"),
        ("payload=maybe", "payload", "Expected `bool`"),
        ("cursor=nonsense", "cursor", "next_cursor"),
        ("cursor=" + "x" * 1_001, "cursor", "<= 1000"),
        ("meta=7", "meta", "meta.NAME=VALUE"),
        ("meta.=7", "meta", "names of 1 to 128"),
        ("meta.a=%00", "meta", "NUL"),
        ("meta.a=1&meta.a=2", "meta.a", "twice"),
        ("meta.a=" + "x" * 4_096, "meta", "at most 4096 bytes"),
        ("field=7", "field", "field.NAME=VALUE"),
        ("field.=7", "field", "names or places"),
        ("field.a..b=7", "field", "names or places"),
        ("field.a=%00", "field", "NUL"),
        ("field.a=" + "x" * 201, "field", "at most 200 characters"),
        ("field." + "x" * 201 + "=1", "field", "at most 200 characters"),
        ("&".join([f"field.a{n}=1" for n in range(9)]), "field", "at most 8 paths"),
        ("sate=ready", "sate", "not a query parameter"),
        ("limit=1&limit=2", "limit", "twice"),
        ("text=%FF", "query", "can't be read"),
    ],
)
def test_a_wrong_parameter_is_named(api, query, field, says):
    api.refused(api.get(f"/v1/jobs?{query}"), 400, "invalid_request", field=field, says=says)


def test_the_bounds_themselves_are_allowed(api, queue):
    api.push(queue)
    for params in ({"limit": 1_000}, {"type": "x" * 128}, {"tag": "x" * 128}, {"text": "x" * 1_000}):
        page(api, queue=queue, **params)


def test_a_cursor_of_another_listing_is_refused_not_misread(api, queue):
    for _ in range(3):
        api.push(queue)
    within = page(api, queue=queue, state="ready", limit=1)["next_cursor"]
    over_all = page(api, state="ready", limit=1)["next_cursor"]
    for params in ({"cursor": within}, {"cursor": over_all, "queue": queue}):
        response = api.get("/v1/jobs", params=params)
        api.refused(response, 400, "invalid_request", field="cursor", says="same filters")


@pytest.mark.parametrize("forged", [b"", b"\x92\x0f\x91\x01", b"\x92\xff\x91\x01", b"\x92\x00\x91\xcf" + b"\xff" * 8, b"\x93\x00\x91\x01\x01",
                                    b"\x92\x01\x95\x01\x01\x01\x01\x01", b"\x92\x0f\x90", b"\xc1"])  # fmt: skip
def test_a_forged_cursor_is_refused(api, forged):
    response = api.get("/v1/jobs", params={"cursor": base64.urlsafe_b64encode(forged).decode()})
    api.refused(response, 400, "invalid_request", field="cursor")


# Queues


def test_queues_are_listed_by_name_in_pages(api, queues):
    for name in queues:
        api.push(name)
    found, cursor = [], ""
    while cursor is not None:
        answer = api.get("/v1/queues", params={"limit": 3, "cursor": cursor}).json()
        assert len(answer["queues"]) <= 3
        found += [shown["name"] for shown in answer["queues"]]
        cursor = answer["next_cursor"]
    assert found == sorted(set(found))
    assert set(queues) <= set(found)


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=" + "x" * 601, "cursor"), ("name=x", "name")]
)
def test_a_wrong_parameter_of_the_list_of_queues_is_named(api, query, field):
    api.refused(api.get(f"/v1/queues?{query}"), 400, "invalid_request", field=field)


def test_jobs_are_found_by_a_value_in_their_payload(api, queue):
    mine = api.push(queue, {"order": {"id": 42}, "lines": [{"sku": "a&b=c"}]})["id"]
    api.push(queue, {"order": {"id": 43}, "lines": []})
    assert pages(api, queue=queue, **{"field.order.id": "42"}) == [mine]
    assert pages(api, queue=queue, **{"field.lines.0.sku": "a&b=c", "field.order.id": "42"}) == [mine]
    assert pages(api, queue=queue, **{"field.lines.0.sku": "other"}) == []
    begun = api.post("/v1/operations", json={"do": "cancel", "filter": {"queue": queue, "field": {"order.id": "42"}}}).json()
    assert begun["filter"]["field"] == {"order.id": "42"}
    assert begun["total"] == 1
