"""What a job is, and the only place where it changes. Pure: no I/O, no clock, no store."""
