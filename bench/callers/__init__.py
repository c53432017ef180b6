"""One caller in a process of its own: a door of Holdfast or a peer's Python package, played one call after the other.

    play             the process: `caller` takes orders on stdin, `worker` works until it is told to end
    turns            the closed loop, and the loop at a fixed rate
    marks            when each job's handler began, in a file that all processes of a run map
    bare_http, live_channel, tubes                    Holdfast's protocols over a blocking socket
    holdfast_client, holdfast_async                   its Python clients, and its worker
    holdfast_tasks, holdfast_django                   its typed tasks, and Django's with its backend
    huey_peer, pgqueuer_peer, procrastinate_peer, django_tasks_db_peer, rq_peer
    dramatiq_peer, taskiq_peer, celery_peer           each also on Holdfast, whose address begins with http:

A file has classes with `turn(n)`, which does one call and returns when it is answered, and perhaps `many(first, count)`, which enqueues so
many at once; one whose `turn` is a coroutine runs in an event loop and has `opened()`. A file with a worker has `work(address, queue)`.

Peers run in an environment of their own, which has nothing of Holdfast: what they import is the standard library and their own package.
"""
