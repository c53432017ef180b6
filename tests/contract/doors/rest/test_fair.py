"""Fair shares over HTTP: the setting, the fields of a job, weights, and what is shown of them."""

import pytest

from holdfast.limits import FAIR_COST_MAX, FAIR_KEY_CHARS, FAIR_WEIGHT_MAX


@pytest.fixture
def fair(api, queue):
    api.put(f"/v1/queues/{queue}", json={"fair": True}).raise_for_status()
    return queue


def leased(api, queue, count):
    return [job.get("fair_key") for job in api.lease(queue, max=count)]


def test_keys_of_a_fair_queue_take_turns(api, fair):
    assert api.get(f"/v1/queues/{fair}").json()["settings"]["fair"] is True
    for key in ("big", "big", "big", "small"):
        api.push(fair, fair_key=key)
    api.push(fair)
    assert leased(api, fair, 9) == ["big", "small", None, "big", "big"]


def test_weights_are_set_shown_and_unset(api, fair):
    for key in ("a", "a", "a", "b/c d"):
        api.push(fair, fair_key=key)
    api.push(fair)
    made = api.put(f"/v1/queues/{fair}/fair/b%2Fc%20d", json={"weight": 2})
    assert (made.status_code, made.json()) == (
        200,
        {"key": "b/c d", "waiting": 1, "leased": 0, "weight": 2, "weight_set": True, "share": 0.5},
    )
    assert api.put(f"/v1/queues/{fair}/fair", json={"weight": 3}).json()["key"] is None
    shown = api.get(f"/v1/queues/{fair}/fair").json()
    assert (shown["fair"], shown["sorting"], shown["keys"], shown["waiting"]) == (True, False, 3, 5)
    assert [(one["key"], one["waiting"], one["weight"]) for one in shown["some"]] == [
        ("a", 3, 1),
        (None, 1, 3),
        ("b/c d", 1, 2),
    ]
    api.lease(fair)
    assert api.get(f"/v1/queues/{fair}/fair/a").json()["leased"] == 1
    assert api.delete(f"/v1/queues/{fair}/fair/b%2Fc%20d").status_code == 204
    assert api.get(f"/v1/queues/{fair}/fair/b%2Fc%20d").json()["weight"] == 1


@pytest.mark.parametrize("limit", [1, 2])
def test_all_keys_are_listed_page_by_page(api, fair, limit):
    api.push(fair)
    for number in range(5):
        api.push(fair, fair_key=f"k{number}")
    api.put(f"/v1/queues/{fair}/fair/idle", json={"weight": 9})
    keys, after = [], ""
    while after is not None and len(keys) < 10:
        page = api.get(f"/v1/queues/{fair}/fair", params={"after": after, "limit": limit}).json()
        keys += [one["key"] for one in page["some"]]
        after = page["next_after"]
    assert keys == [None, "idle", *(f"k{number}" for number in range(5))]


def test_why_tells_whose_turn_it_is(api, fair):
    for _ in range(3):
        api.push(fair, fair_key="big")
    last = api.push(fair, fair_key="big")
    small = api.push(fair, fair_key="small")
    (reason,) = [one for one in api.get(f"/v1/jobs/{last['id']}/why").json()["reasons"] if one["code"] == "waits_for_turn"]
    assert "2 fair keys share the queue" in reason["detail"]
    assert "about 4 jobs are ahead of it, 3 of them of its own fair key" in reason["detail"]
    assert api.get(f"/v1/jobs/{small['id']}/why").json()["ahead"] == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"fair_key": ""}, "fair_key"),
        ({"fair_key": "x" * (FAIR_KEY_CHARS + 1)}, "fair_key"),
        ({"fair_key": "a\0b"}, "fair_key"),
        ({"fair_cost": 0}, "fair_cost"),
        ({"fair_cost": FAIR_COST_MAX + 1}, "fair_cost"),
    ],
)
def test_what_is_beyond_its_bounds_is_refused(api, fair, given, field):
    refused = api.post(f"/v1/queues/{fair}/jobs", json={"payload": 1, **given})
    assert (refused.status_code, refused.json()["field"]) == (400, field)


@pytest.mark.parametrize("weight", [0, FAIR_WEIGHT_MAX + 1, 1.5, None])
def test_a_weight_beyond_its_bounds_is_refused(api, fair, weight):
    refused = api.put(f"/v1/queues/{fair}/fair/a", json={"weight": weight})
    assert (refused.status_code, refused.json()["field"]) == (400, "weight")


def test_a_queue_that_is_not_there_has_no_shares(api):
    assert api.get("/v1/queues/nowhere/fair").status_code == 404
    assert api.put("/v1/queues/nowhere/fair/a", json={"weight": 1}).status_code == 404


def test_a_queue_with_the_longest_name_has_shares(api, queue):
    name = queue.ljust(200, "x")
    api.put(f"/v1/queues/{name}", json={"fair": True}).raise_for_status()
    assert api.put(f"/v1/queues/{name}/fair/a", json={"weight": 2}).json()["weight"] == 2
    assert api.get(f"/v1/queues/{name}/fair").json()["fair"] is True
    refused = api.get("/v1/queues/no%20name/fair")
    assert (refused.status_code, refused.json()["field"]) == (400, "queue")
