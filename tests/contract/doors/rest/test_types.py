"""Leases by type over HTTP: `types` in a lease and in a registration, types that are paused, and what `why` says of them."""

from urllib.parse import quote

import pytest

from holdfast.limits import TYPE_CHARS, TYPES


@pytest.fixture
def parked(api, aside):
    """Start one more lease call that waits, and come back when it does."""
    calls = []

    def park(queue, **options):
        before = sum(not call.done() for call in calls)
        calls.append(aside(api.lease, queue, **{"wait_ms": 20_000, **options}))
        api.until_parked(before + 1)
        return calls[-1:]

    yield park
    api.until_parked(0)


def codes(api, job) -> list[str]:
    return [one["code"] for one in api.get(f"/v1/jobs/{job['id']}/why").json()["reasons"]]


def test_a_lease_with_types_gets_only_jobs_of_these(api, queue):
    for kind in ("resize", "mail", "other", ""):
        api.push(queue, type=kind)
    assert [job["type"] for job in api.lease(queue, max=9, types=["mail", "resize"])] == ["resize", "mail"]
    assert api.lease(queue, max=9, types=["mail"]) == []
    assert [job["type"] for job in api.lease(queue, max=9, types=[""])] == [""]
    assert api.counts(queue) == {"ready": 1, "leased": 3}


@pytest.mark.parametrize(
    ("types", "field", "says"),
    [
        ([], "types", f"1 to {TYPES}"),
        ([f"t{n}" for n in range(TYPES + 1)], "types", f"1 to {TYPES}"),
        (["a", "b", "a"], "types", "each type once"),
        (["a", "x" * (TYPE_CHARS + 1)], "types[1]", f"at most {TYPE_CHARS} characters"),
        (["\0"], "types[0]", "NUL"),
    ],
)
def test_types_out_of_their_bounds_are_refused_with_the_field_and_the_bound(api, queue, types, field, says):
    api.refused(api.post("/v1/leases", {"queues": [queue], "types": types}), 400, "invalid_request", field, says)
    api.refused(api.post("/v1/workers", {"queues": [queue], "types": types}), 400, "invalid_request", field, says)


def test_as_many_types_as_are_allowed_are_taken(api, queue):
    api.push(queue, type="t" * TYPE_CHARS)
    types = [f"t{n}" for n in range(TYPES - 1)] + ["t" * TYPE_CHARS]
    assert len(api.lease(queue, types=types)) == 1


def test_a_call_that_waits_with_types_gets_the_first_job_that_fits(api, queue, parked):
    (call,) = parked(queue, types=["new"])
    for _ in range(3):
        api.push(queue, type="old")
    assert api.counts(queue) == {"ready": 3}
    assert not call.done()
    job = api.push(queue, type="new")
    assert call.result(5)[0]["id"] == job["id"]


def test_a_job_that_the_first_of_those_who_wait_can_not_use_goes_to_the_next(api, queue, parked):
    calls = {kind: parked(queue, types=[kind])[0] for kind in ("a", "b", "c")}
    for kind in ("c", "a", "b"):
        job = api.push(queue, type=kind)
        assert calls[kind].result(5)[0]["id"] == job["id"]


def test_a_paused_type_is_kept_back_and_is_shown(api, queue, parked):
    kept, other = api.push(queue, type="a"), api.push(queue, type="b")
    shown = api.put(f"/v1/queues/{queue}/types/a", json={"paused": True})
    assert (shown.status_code, shown.json()["paused_types"]) == (200, ["a"])
    assert api.get(f"/v1/queues/{queue}").json()["paused_types"] == ["a"]
    assert [job["id"] for job in api.lease(queue, max=9)] == [other["id"]]
    assert codes(api, kept)[0] == "type_paused"
    (call,) = parked(queue)
    assert api.put(f"/v1/queues/{queue}/types/a", json={"paused": False}).json()["paused_types"] == []
    assert call.result(5)[0]["id"] == kept["id"]


def test_the_statistics_name_the_types_that_are_paused(api, queue):
    api.push(queue, type="a")

    def shown():
        (found,) = [one for one in api.get("/v1/stats", params={"named": queue}).json()["queues"] if one["name"] == queue]
        return found.get("paused_types")

    assert shown() is None
    api.put(f"/v1/queues/{queue}/types/a", json={"paused": True})
    assert shown() == ["a"]
    assert ">1 type paused</span>" in api.get("/web", params={"q": queue}).text


def test_delete_resumes_a_type_whether_or_not_it_was_paused(api, queue):
    api.push(queue, type="a b")
    assert api.put(f"/v1/queues/{queue}/types/a%20b", json={"paused": True}).json()["paused_types"] == ["a b"]
    for _ in range(2):
        assert api.delete(f"/v1/queues/{queue}/types/a%20b").status_code == 204
    assert len(api.lease(queue)) == 1


@pytest.mark.parametrize("kind", ["mail/html", "/", "a%2Fb", "ä/ö"])
def test_a_type_with_a_slash_in_its_name_is_paused_and_resumed(api, queue, kind):
    api.push(queue, type=kind)
    written = quote(kind, safe="")
    assert api.put(f"/v1/queues/{queue}/types/{written}", json={"paused": True}).json()["paused_types"] == [kind]
    assert api.lease(queue) == []
    assert api.delete(f"/v1/queues/{queue}/types/{written}").status_code == 204
    assert len(api.lease(queue)) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/queues/{queue}/types/%FF"),
        ("DELETE", "/v1/queues/{queue}/types/a%80"),
        ("GET", "/v1/queues/%FF"),
        ("PUT", "/v1/budgets/%C0%AF"),
        ("GET", "/v1/batches/%FF"),
        ("GET", "/v1/keys/%ff"),
        ("GET", "/v1/schedules/%ED%A0%80"),
        ("POST", "/v1/workers/%FE/beat"),
        ("GET", "/web/queues/%FF"),
    ],
)
def test_a_path_that_is_not_utf_8_is_refused(api, queue, method, path):
    api.push(queue)
    refused = api.request(method, path.format(queue=queue), json={"paused": True} if method == "PUT" else None)
    api.refused(refused, 400, "invalid_request", "path", "UTF-8")
    assert api.get(f"/v1/queues/{queue}").json()["paused_types"] == []


def test_so_many_types_of_one_queue_are_paused_and_no_more(api, queue):
    api.set(queue)
    for n in range(TYPES):
        assert api.put(f"/v1/queues/{queue}/types/t{n}", json={"paused": True}).status_code == 200
    refused = api.put(f"/v1/queues/{queue}/types/more", json={"paused": True})
    api.refused(refused, 400, "invalid_request", "type", str(TYPES))
    assert api.put(f"/v1/queues/{queue}/types/t0", json={"paused": True}).status_code == 200


def test_a_pause_of_a_type_is_refused_where_it_can_not_be(api, queue):
    api.refused(api.put(f"/v1/queues/{queue}/types/a", json={"paused": True}), 404, "queue_not_found")
    api.set(queue)
    long = "x" * (TYPE_CHARS + 1)
    api.refused(api.put(f"/v1/queues/{queue}/types/{long}", json={"paused": True}), 400, "invalid_request", "type", "128")
    api.refused(api.put(f"/v1/queues/{queue}/types/a", json={}), 400, "invalid_request", "paused")


def test_a_worker_that_registers_with_types_gets_only_these(api, queue):
    worker = api.post("/v1/workers", {"queues": [queue], "types": ["a"]}).json()
    assert worker["types"] == ["a"] == api.get(f"/v1/workers/{worker['id']}").json()["types"]
    assert "types" not in api.post("/v1/workers", {"queues": [queue]}).json()
    api.push(queue, type="b")
    job = api.push(queue, type="a")
    assert [one["id"] for one in api.lease(queue, max=9, worker=worker["id"])] == [job["id"]]


def test_a_registered_worker_that_names_no_types_waits_for_its_own(api, queue, parked):
    worker = api.post("/v1/workers", {"queues": [queue], "types": ["a"]}).json()["id"]
    (mine,) = parked(queue, worker=worker)
    (others,) = parked(queue)
    first = api.push(queue, type="b")
    assert others.result(5)[0]["id"] == first["id"]
    job = api.push(queue, type="a")
    assert mine.result(5)[0]["id"] == job["id"]


def test_why_says_that_no_registered_worker_takes_the_type(api, queue):
    job = api.push(queue, type="new")
    api.post("/v1/workers", {"queues": [queue], "types": ["old"]})
    assert codes(api, job) == ["no_worker_for_type"]
    api.post("/v1/workers", {"queues": [queue]})
    assert "no_worker_for_type" not in codes(api, job)


def test_a_worker_says_which_process_it_is(api, queue):
    told = {"host": "host-7", "pid": 42, "version": "shop 2026.12"}
    worker = api.post("/v1/workers", {"queues": [queue], **told}).json()
    for shown in (worker, api.get(f"/v1/workers/{worker['id']}").json(), api.post(f"/v1/workers/{worker['id']}/beat").json()):
        assert {name: shown[name] for name in told} == told
    assert not told.keys() & api.post("/v1/workers", {"queues": [queue]}).json().keys()
    for field, value in (("host", "h" * 257), ("host", "a\0"), ("pid", -1), ("pid", "x"), ("version", "v" * 129)):
        api.refused(api.post("/v1/workers", {"queues": [queue], field: value}), 400, "invalid_request", field)
