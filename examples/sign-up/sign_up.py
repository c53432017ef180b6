"""The web application: it publishes one event, and knows none of those who want it. Then it looks at what they did with it."""

import os

from holdfast import Client

PATIENCE_S = float(os.environ.get("PATIENCE_S", "30"))
event = {"event": "userSignedUp", "user": 7, "name": "Ada", "email": "ada@example.org"}

with Client() as client:
    # The key makes it one event, however often the call is repeated: each queue gets one copy.
    copies = client.publish(event, type="userSignedUp", idempotency_key="user-7-signed-up").jobs
    print(f"published to {len(copies)} queues")
    for copy in copies:
        try:
            print(f"{copy.queue}: {client.result(copy.id, timeout_s=PATIENCE_S)}")
        except TimeoutError:
            print(f"{copy.queue}: its copy waits. {client.why(copy.id).reasons[0].detail}")
