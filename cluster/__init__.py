"""Real PostgreSQL servers on this machine, alone, as a primary with standbys, and as a whole cluster under Patroni.

It ships with the project for trying out Holdfast on several nodes without several machines, for the tests, and for the runs
that break things on purpose. Everything listens on loopback, is in one folder, and ends with the process that started it.
Nothing here is part of the server.
"""
