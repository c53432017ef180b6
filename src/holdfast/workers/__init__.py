"""Who is alive. Pure: no I/O, no clock, no store."""
