"""Torture: real servers, real faults, recorded histories, and checkers that read nothing else.

An answer of Holdfast means that the job is stored. This package tries to make that false. It starts the server as a user would,
loads it with clients that record every call, kills it, suspends it, fills its disk, cuts its answers and its power; then it
heals the server, drains every queue, and lets pure functions search the history for a broken promise.

    history ── wire ── client ── hands ── load    what was asked and answered, and by whom
    server ── faults/                         the process under test, and what is done to it
    trial ── drain ── checkers/ ── report     one run from the empty store to the verdict
    mutants/                                  servers broken on purpose: the checkers have to catch each of them

Run `python -m torture --help`.
"""
