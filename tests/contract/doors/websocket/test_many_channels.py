"""Many channels at once, on one front and on two, and under a path prefix: nothing is lost and nothing is concluded twice."""

import asyncio
import json
import random

import websockets

from holdfast import server as serving
from holdfast.testing.local import LocalServer
from tests.contract.doors.rest.conftest import Api
from tests.contract.doors.websocket.channel import open_channel, token
from tests.system.whole.servers import until

CHANNELS = 50
JOBS = 2_000


class Story:
    """What all workers together saw."""

    def __init__(self, url: str, queue: str) -> None:
        self.url = url.replace("http", "ws", 1) + "/v1/channel"
        self.queue = queue
        self.concluded: list[int] = []
        self.left = asyncio.Event()
        self.chance = random.Random(7)

    async def work(self) -> None:
        """Open channels one after the other; most of them end badly."""
        while not self.left.is_set():
            async with websockets.connect(self.url, proxy=None, compression=None) as line:
                await line.send(json.dumps({"op": "start", "queues": [self.queue], "credits": self.chance.randint(1, 20)}))
                await self._on(line, self.chance.randint(1, 40))
                match self.chance.randint(0, 2):
                    case 0:
                        line.transport.abort()
                    case 1:
                        await line.close()

    async def _on(self, line: websockets.ClientConnection, turns: int) -> None:
        for _ in range(turns):
            try:
                message = json.loads(await asyncio.wait_for(line.recv(), 0.2))
            except TimeoutError:
                return
            if message["op"] == "jobs":
                jobs = message["jobs"]
                self.chance.shuffle(jobs)
                keep = self.chance.randint(0, len(jobs))
                lists = {"conclude": [{"token": token(job)} for job in jobs[keep:]]}
                lists["release"] = [{"token": token(job)} for job in jobs[: keep // 2]]
                if any(lists.values()):
                    await line.send(json.dumps({"op": "batch", **lists}))
            elif message["op"] == "results":
                self.concluded += [entry["id"] for entry in message["conclude"] if entry.get("state") == "concluded"]
            else:
                assert message["op"] == "started", message


def test_channels_that_come_and_go_lose_nothing_and_conclude_nothing_twice(serve, tmp_path):
    server, api = serve("--fronts", "2", store=f"sqlite:///{tmp_path}/jobs.db")
    assert asyncio.run(_storm(server.url, api)) <= JOBS
    assert api.counts("q") == {"concluded": JOBS}
    (queue,) = (queue for queue in api.get("/v1/stats").json()["queues"] if queue["name"] == "q")
    assert queue["totals"]["concluded"] == JOBS
    assert queue["totals"]["expired"] == queue["totals"]["failed"] == 0


async def _storm(url: str, api: Api) -> int:
    story = Story(url, "q")
    workers = [asyncio.create_task(story.work()) for _ in range(CHANNELS)]
    for _ in range(JOBS // 100):
        answer = await asyncio.to_thread(api.post, "/v1/jobs", {"jobs": [{"queue": "q"} for _ in range(100)]})
        assert answer.status_code == 201
    await asyncio.to_thread(until, lambda: api.counts("q") == {"concluded": JOBS}, "all are concluded")
    story.left.set()
    await asyncio.gather(*workers)
    assert len(story.concluded) == len(set(story.concluded)), "a job was concluded twice"
    return len(story.concluded)


def test_with_two_fronts_a_request_to_cancel_reaches_the_channel_wherever_it_is(serve):
    server, api = serve("--fronts", "2")
    with open_channel(server.url) as one, open_channel(server.url) as two, open_channel(server.url) as three:
        for worker in (one, two, three):
            worker.start("q")
        ids = [api.push("q", n)["id"] for n in range(3)]
        held = {worker.job()["id"]: worker for worker in (one, two, three)}
        assert sorted(held) == ids
        for job, worker in held.items():
            assert Api(server.url).post(f"/v1/jobs/{job}/cancel", {}).status_code == 200
            assert worker.receive("cancel")["job"] == job


def test_under_a_path_prefix_the_channel_is_where_it_is_said_to_be(serve):
    server, api = serve("--root-path", "/jobs")
    api.push("q", 1)
    for path in ("/jobs/v1/channel", "/v1/channel", "/jobs/v1/channel/"):
        with open_channel(server.url, path) as worker:
            worker.start("q")
            assert worker.job()["payload"] == 1


def test_without_the_fast_lane_it_works_as_well(serve):
    server, api = serve("--no-fast-lane")
    api.push("q", 1)
    with open_channel(server.url) as worker:
        worker.start("q")
        assert worker.conclude(worker.job())[0]["state"] == "concluded"


def test_a_channel_outlives_the_time_after_which_idle_connections_are_closed(monkeypatch):
    monkeypatch.setattr(serving, "_KEEP_ALIVE_S", 1)
    with LocalServer() as local, open_channel(local.url) as worker:
        worker.start("q")
        Api(local.url).lease("none", wait_ms=2_500)
        worker.ask("ping", "pong")
