"""Only the holder of the current lease ends an attempt: every other token is refused, and a wrong body leaves the lease as it was."""

import pytest

VERBS = ("conclude", "fail", "release", "extend")


@pytest.fixture
def held(api, queue):
    """A leased job."""
    api.push(queue)
    return api.take(queue, worker="w-1")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("end", ["expired", "released", "failed"])
def test_a_lease_that_was_superseded_is_lost_and_nothing_changes(api, queue, held, verb, end):
    match end:
        case "expired":
            api.ended("extend", held, lease_ms=1)
        case "released":
            api.ended("release", held)
        case "failed":
            api.ended("fail", held, delay_ms=0)
    current = api.take(queue, wait_ms=5_000)
    before = api.job(held["id"])
    if (verb, end) == ("fail", "failed"):
        assert api.ended(verb, held)["state"] == "leased"
    else:
        problem = api.refused(api.end(verb, held), 409, "lease_lost")
        assert (problem["job_id"], problem["attempt"]) == (held["id"], 1)
    assert {**api.job(held["id"]), "lease_ms_left": 0} == {**before, "lease_ms_left": 0}
    assert api.ended("conclude", current)["state"] == "concluded"


@pytest.mark.parametrize("verb", VERBS)
def test_a_token_with_another_secret_is_refused(api, held, verb):
    token = held["lease"]["token"]
    other = token[:-1] + ("1" if token[-1] == "0" else "0")
    api.refused(api.end(verb, other), 409, "lease_lost")
    assert api.job(held["id"])["state"] == "leased"


@pytest.mark.parametrize(
    "token",
    ["nonsense", "1", "1.1.1", "1.1.1.xyz", "0.1.1.00", "1.1.0.00", "-1.1.1.00", "1.0.1.00", f"{2**53}.1.1.00", f"1.1.{2**53}.00",
     f"1.{10**30}.1.00", "1.1.1." + "0" * 200, "1.1.1.%C3%A9", "1.1.1.", "%00"],
)  # fmt: skip
def test_what_was_never_a_token_is_a_lost_lease(api, token):
    for verb in VERBS:
        api.refused(api.end(verb, token), 409, "lease_lost")


def test_a_conclude_after_another_end_and_another_end_after_a_conclude_are_refused(api, queue):
    api.push(queue)
    held = api.take(queue)
    api.ended("conclude", held)
    for verb in ("fail", "release", "extend"):
        api.refused(api.end(verb, held), 409, "lease_lost")
    assert api.job(held["id"])["state"] == "concluded"


@pytest.mark.parametrize(
    ("verb", "body", "field", "says"),
    [
        ("fail", {"delay_ms": -1}, "delay_ms", "from 0 to 316224000000"),
        ("fail", {"delay_ms": 316_224_000_001}, "delay_ms", "from 0 to 316224000000"),
        ("fail", {"reason": None}, "reason", "Expected `str`"),
        ("fail", {"retry": 0}, "retry", "Expected `bool`"),
        ("fail", {"why": "x"}, "why", "unknown field"),
        ("release", {"delay_ms": -1}, "delay_ms", "from 0 to 316224000000"),
        ("release", {"priority": 4_294_967_296}, "priority", "from 0 to 4294967295"),
        ("release", {"reason": "x"}, "reason", "unknown field"),
        ("extend", {"lease_ms": 0}, "lease_ms", "from 1 to 2592000000"),
        ("extend", {"lease_ms": 2_592_000_001}, "lease_ms", "from 1 to 2592000000"),
        ("extend", {"ms": 1}, "ms", "unknown field"),
        ("conclude", {"then": [{}]}, "then[0].queue", "missing required field"),
        ("conclude", {"then": [{"queue": "a b"}]}, "then[0].queue", "characters"),
        ("conclude", {"then": [{"queue": "a", "delay_ms": -1}]}, "then[0].delay_ms", "from 0 to"),
        ("conclude", {"output": 1}, "output", "unknown field"),
    ],
)
def test_a_wrong_body_is_refused_by_field_and_the_lease_is_still_held(api, held, verb, body, field, says):
    api.refused(api.end(verb, held, **body), 400, "invalid_request", field=field, says=says)
    assert api.job(held["id"])["state"] == "leased"
