"""What one HTTP connection has this process hold, and how much of what it sends is looked at in one go.

Bytes are charged as they come and for as long as they are here: of a head or a body that is not whole, of requests that wait behind another, of
answers that are not read. An ordinary request comes whole, is answered and read, and is never charged.
"""

from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn's, which would read on after every answer: it does not while what has come is more than enough."""

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        self.stopped = False

    def resume_reading(self) -> None:
        """Read on, unless the connection is stopped."""
        if not self.stopped:
            super().resume_reading()

    def stop(self) -> None:
        """Read nothing more, whoever asks for it."""
        self.stopped = True
        self.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self.stopped:
            self.stopped = False
            self.resume_reading()
