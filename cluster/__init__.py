"""Real PostgreSQL servers on this machine, alone, as a primary with standbys, and as a whole cluster under Patroni.

It ships with the project for whoever wants to see Holdfast on many machines without having them, for the tests, and
for the runs that break things on purpose. Everything listens on loopback, lives in one folder, and ends with the
process that started it. Nothing here is part of the server.
"""
