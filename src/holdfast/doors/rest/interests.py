"""Routes for events: what queues are interested in, publishing, and trying out where an event would go."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State as AppState
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, Parameter
from msgspec import UNSET

from holdfast import limits
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import InterestOut, InterestsOut, PublishedOut, ReachedOut
from holdfast.doors.rest.types import EventIn, InterestIn, PublishIn
from holdfast.engine.engine import Engine
from holdfast.errors import QueueNotFound, breach

Queue = Annotated[str, Parameter(description="The queue's name.", pattern="^[A-Za-z0-9._:-]{1,600}$")]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key and body again: the first answer again.",
        max_length=limits.REQUEST_ID_CHARS,
    ),
]
_NOBODY = {
    200: ResponseSpec(
        PublishedOut, description="No queue subscribes to the event, or the same idempotency key and body as before"
    )
}


@put("/v1/interests/{queue:str}", tags=["routing"], summary="Set which events a queue subscribes to")
async def put_interest(state: AppState, queue: Queue, data: JSONBody[InterestIn]) -> InterestOut:
    """The queue is created if it is new. It counts from this answer on."""
    engine: Engine = state.engine
    await engine.set_interest(queue, data.match)
    return InterestOut(queue, data.match)


@get("/v1/interests/{queue:str}", tags=["routing"], summary="Which events a queue subscribes to")
async def get_interest(state: AppState, queue: Queue) -> InterestOut:
    """404 when it has no interest (subscription)."""
    engine: Engine = state.engine
    interests = (await engine.reading.interests()).interests
    if queue not in interests:
        raise QueueNotFound(f"The queue {queue} has no interest (subscription).", queue=queue)
    return InterestOut(queue, interests[queue])


@delete("/v1/interests/{queue:str}", tags=["routing"], summary="Remove the subscription of a queue")
async def delete_interest(state: AppState, queue: Queue) -> None:
    """What it holds stays."""
    engine: Engine = state.engine
    if not await engine.set_interest(queue, None):
        raise QueueNotFound(f"The queue {queue} has no interest (subscription).", queue=queue)


@get("/v1/interests", tags=["routing"], summary="All interests (subscriptions)")
async def list_interests(state: AppState) -> InterestsOut:
    """By queue."""
    engine: Engine = state.engine
    interests = (await engine.reading.interests()).interests
    return InterestsOut([InterestOut(queue, match) for queue, match in interests.items()])


@post("/v1/interests/test", tags=["routing"], status_code=200, summary="Test which queues would get an event")
async def try_event(state: AppState, data: JSONBody[EventIn]) -> ReachedOut:
    """Nothing is put."""
    engine: Engine = state.engine
    queues, others = await engine.reached_by(bodies.raw("data", data.data) or b"null")
    return ReachedOut(queues, others or UNSET)


@post("/v1/publish", tags=["routing"], summary="Publish an event", responses=_NOBODY)
async def publish(
    request: Request[Any, Any, Any], state: AppState, data: JSONBody[PublishIn], idempotency_key: Key = None
) -> Response[PublishedOut]:
    """A copy to every queue whose interest fits, all or none: one full queue refuses the whole."""
    engine: Engine = state.engine
    if data.scope not in ("any", "all"):
        raise breach("scope", 'must be "any" or "all"')
    given = bodies.event_job(data)
    key = bodies.idempotency("", idempotency_key.encode() if idempotency_key else None, b"publish", await request.body())
    published = await engine.publish(given, key, data.require_interest, data.scope == "all")
    shown = PublishedOut(
        jobs=replies.copies_out(published),
        durability=replies.kept_as(published, replies.durability_out(engine.durability)),
        duplicate=True if published.duplicate else UNSET,
        others=published.others or UNSET,
    )
    return Response(shown, status_code=201 if (published.jobs or published.others) and not published.duplicate else 200)


ROUTES: list[Any] = [put_interest, get_interest, delete_interest, list_interests, try_event, publish]
