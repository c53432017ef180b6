"""Servers broken on purpose.

A checker that never fires may be right or blind. Each mutant here is the real server with one promise broken, and names the
checkers of which at least one has to detect it. Product code knows nothing of this: the hook in `hook/` patches classes in the
server's processes as they are imported, and records in a file that it did, because a mutant that was never applied would prove
nothing.
"""
