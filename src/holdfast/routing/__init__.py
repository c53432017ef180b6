"""Which queues want an event. Pure: no I/O, and never `re` on a pattern that a user wrote."""
