"""Routes for events: what queues are interested in, publishing, and trying out where an event would go."""

from msgspec import UNSET

from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import InterestOut, InterestsOut, PublishedOut, ReachedOut
from holdfast.doors.rest.parameters import KEY_OR_NONE, Queue
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import EventIn, InterestIn, PublishIn
from holdfast.errors import QueueNotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, delete, get, post, put

_NOBODY = "No queue subscribes to the event, or the same idempotency key and body as before"


@put("/v1/interests/{queue}", tags=["routing"], summary="Set which events a queue subscribes to")
async def put_interest(state: AppState, queue: Queue, data: InterestIn) -> InterestOut:
    """The queue is created if it is new. It counts from this answer on."""
    await state.engine.set_interest(queue, data.match)
    return InterestOut(queue, data.match)


@get("/v1/interests/{queue}", tags=["routing"], summary="Which events a queue subscribes to")
async def get_interest(state: AppState, queue: Queue) -> InterestOut:
    """404 when it has no interest (subscription)."""
    interests = (await state.engine.reading.interests()).interests
    if queue not in interests:
        raise QueueNotFound(f"The queue {queue} has no interest (subscription).", queue=queue)
    return InterestOut(queue, interests[queue])


@delete("/v1/interests/{queue}", tags=["routing"], summary="Remove the subscription of a queue")
async def delete_interest(state: AppState, queue: Queue) -> None:
    """Its jobs stay."""
    if not await state.engine.set_interest(queue, None):
        raise QueueNotFound(f"The queue {queue} has no interest (subscription).", queue=queue)


@get("/v1/interests", tags=["routing"], summary="All interests (subscriptions)")
async def list_interests(state: AppState) -> InterestsOut:
    """By queue."""
    interests = (await state.engine.reading.interests()).interests
    return InterestsOut([InterestOut(queue, match) for queue, match in interests.items()])


@post("/v1/interests/test", tags=["routing"], status=200, summary="Test which queues would get an event")
async def try_event(state: AppState, data: EventIn) -> ReachedOut:
    """Nothing is enqueued."""
    queues, others = await state.engine.reached_by(bodies.raw("data", data.data) or b"null")
    return ReachedOut(queues, others or UNSET)


@post(
    "/v1/publish",
    tags=["routing"],
    summary="Publish an event",
    gives=PublishedOut,
    more=[KEY_OR_NONE],
    others={200: (PublishedOut, _NOBODY)},
)
async def publish(request: Request, state: AppState, data: PublishIn) -> Reply:
    """A copy to every queue whose interest matches, all or none: one full queue refuses the whole."""
    if data.scope not in ("any", "all"):
        raise breach("scope", 'must be "any" or "all"')
    given = bodies.event_job(data)
    bodies.trace([given], request.headers)
    key = bodies.idempotency("", request.headers.get(b"idempotency-key") or None, b"publish", request.body)
    published = await state.engine.publish(given, key, data.require_interest, data.scope == "all")
    shown = PublishedOut(
        jobs=replies.copies_out(published),
        durability=replies.kept_as(published, state.durability),
        duplicate=True if published.duplicate else UNSET,
        others=published.others or UNSET,
    )
    is_new = (published.jobs or published.others) and not published.duplicate
    return Reply(201 if is_new else 200, replies.encode(shown))


ROUTES: list[Route] = [put_interest, get_interest, delete_interest, list_interests, try_event, publish]
