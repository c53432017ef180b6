"""How long a case waits: the bound is for each answer, and there is one for all of them."""

import asyncio

import pytest

from fuzz import play
from fuzz.case import HALF, Case


@pytest.mark.parametrize(
    ("pauses", "in_all_s", "over"),
    [
        ([0.3, 0.3, 0.3, 0.3], 5.0, True),
        ([0.3, 2.0], 5.0, False),
        ([0.3] * 20, 0.8, False),
    ],
)
async def test_one_that_is_answered_late_is_told_from_one_that_is_not(monkeypatch, pauses, in_all_s, over):
    monkeypatch.setattr(play, "BOUND_S", 0.6)
    monkeypatch.setattr(play, "IN_ALL_S", in_all_s)

    async def answer(_, writer):
        for pause in pauses:
            await asyncio.sleep(pause)
            writer.write(b".")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        heard = await play.play(Case("http", "", [("send", b"x")], end=HALF), server.sockets[0].getsockname()[1])
    assert heard.over is over
