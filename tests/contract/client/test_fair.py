"""Fair shares by the client."""

import pytest

from holdfast.errors import QueueNotFound


def test_keys_take_turns_and_weights_are_set_and_unset(client, queue):
    client.set_queue(queue, fair=True)
    for key in ("big", "big", "small"):
        client.enqueue(queue, fair_key=key)
    client.enqueue(queue, fair_cost=2)
    assert client.set_weight(queue, "small", 4).weight == 4
    assert client.set_weight(queue, None, 2).key is None
    assert [(one.key, one.waiting) for one in client.shares(queue).some] == [("big", 2), (None, 1), ("small", 1)]
    assert client.share(queue, "small").weight_set
    client.unset_weight(queue, "small")
    assert client.share(queue, "small").weight == 1
    assert [job.fair_key for job in client.lease(queue, max=9)] == ["big", "small", None, "big"]
    with pytest.raises(QueueNotFound):
        client.shares("nowhere")
