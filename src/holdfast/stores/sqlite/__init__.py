"""The embedded store: one SQLite file, one writing connection, in a process of its own (`holdfast.keeper`)."""
