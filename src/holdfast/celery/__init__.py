"""Celery on Holdfast: a transport for kombu, which Celery speaks to its brokers with.

    import holdfast.celery  # makes `holdfast://` known

    app = Celery("shop", broker="holdfast://127.0.0.1:4653")

or, where nothing may be imported, two settings: `broker_url` and `broker_transport = "holdfast.celery:Transport"`.

    transport.py   a connection: its client, its threads, one place where all that arrives is handed over
    channel.py     a channel: publishing, consuming, what is unacknowledged
    messages.py    a message as a job, and back; ETA, priority and time to live as the options of a job
    exchanges.py   bindings of queues to exchanges as subscriptions of queues, kept by the server
    orphans.py     removes what processes that are gone have left: reply queues and the like

The threads that wait for messages and hold their leases are of the client: `client/receiver.py`, `client/held_leases.py`.
"""

from kombu.transport import TRANSPORT_ALIASES

from holdfast.celery.channel import Channel
from holdfast.celery.refusals import QueueFull, Refused
from holdfast.celery.transport import SecureTransport, Transport

__all__ = ["Channel", "QueueFull", "Refused", "SecureTransport", "Transport"]

TRANSPORT_ALIASES.setdefault("holdfast", "holdfast.celery:Transport")
TRANSPORT_ALIASES.setdefault("holdfasts", "holdfast.celery:SecureTransport")
