"""A read whose caller may have left: it is answered, refused, or given up, and in the end nothing runs any more."""

import asyncio

import pytest

from holdfast.errors import Overloaded
from holdfast.http import disconnect
from holdfast.http.disconnect import while_here


def caller(leaves_after_s: float, half_closed: bool):
    async def receive():
        await asyncio.sleep(leaves_after_s)
        return {"type": "http.disconnect", "half_closed": half_closed}

    return receive


def read(seconds: float, ended: list[str]):
    async def app(scope, receive, send):
        try:
            await asyncio.sleep(seconds)
            await send("answer")
        finally:
            ended.append("ended")

    return app


@pytest.mark.parametrize(
    ("seconds", "leaves_after_s", "half_closed", "raised"),
    [
        (0, 10, False, None),
        (0.05, 0, True, None),
        (10, 0, True, Overloaded),
        (10, 0, False, ConnectionResetError),
    ],
)
async def test_a_read_is_answered_refused_or_given_up(monkeypatch, seconds, leaves_after_s, half_closed, raised):
    monkeypatch.setattr(disconnect, "HALF_CLOSED_READ_S", 0.2)
    ended, sent = [], []

    async def send(message):
        sent.append(message)

    one = while_here(read(seconds, ended), {}, caller(leaves_after_s, half_closed), send)
    if raised is None:
        await one
    else:
        with pytest.raises(raised):
            await one
    assert (sent, ended) == ([] if raised else ["answer"], ["ended"])
