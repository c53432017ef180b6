"""A channel that names types gets only jobs of these."""

import pytest


def test_a_channel_with_types_gets_only_these(api, worker, queue):
    api.push(queue, type="old")
    worker.start(queue, types=["new", "other"])
    worker.nothing_more()
    job = api.push(queue, type="new")
    assert worker.job()["id"] == job["id"]
    assert api.counts(queue) == {"ready": 1, "leased": 1}


def test_each_of_several_channels_gets_what_it_can_use(api, channel, queue):
    workers = {kind: channel() for kind in ("a", "b", "c")}
    for kind, one in workers.items():
        one.start(queue, types=[kind], credits=10)
    for kind in ("c", "b", "a", "a"):
        job = api.push(queue, type=kind)
        assert workers[kind].job()["id"] == job["id"]


@pytest.mark.parametrize(("types", "field"), [([], "types"), (["a", "a"], "types"), (["x" * 129], "types[0]")])
def test_types_out_of_their_bounds_are_refused(worker, queue, types, field):
    refused = worker.ask("start", "error", queues=[queue], credits=1, types=types)
    assert (refused["code"], refused["field"]) == ("invalid_request", field)
