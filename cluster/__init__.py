"""Real PostgreSQL servers on this machine: one alone, a primary with standbys, or a whole cluster under Patroni.

It is part of the project so that Holdfast can be tried out with several nodes on one machine, and for the tests and the fault
injection of `torture`. Everything listens on loopback, is in one folder, and ends with the process that started it. Nothing
here is part of the server.
"""
