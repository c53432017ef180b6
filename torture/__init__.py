"""Torture: real servers, real faults, recorded histories, and checkers that read nothing else.

An answer of Holdfast means that the job is stored. This package tries to make that false. It starts the server as a user would,
loads it with clients that record every call, kills it, suspends it, fills its disk, cuts its answers and its power; then it
heals the server, drains every queue, and lets pure functions search the history for a broken promise.

    history ── wire ── client ── actors ── load   the clients, and the record of their requests and answers
    server ── faults/                             the server under test, and the faults
    trial ── drain ── checkers/ ── report         one run from the empty store to the verdict
    mutants/                                      servers with a defect on purpose: the checkers must catch each of them

Run `python -m torture --help`.
"""
