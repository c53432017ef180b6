"""Servers broken on purpose.

A checker that never reports a violation may be right or useless. Each mutant here is the real server with one broken promise,
and names checkers of which at least one must detect it. The server's code has no part in this: the hook in `hook/` patches
classes in the server's processes when they are imported, and records that in a file, because a mutant that was never applied
would prove nothing.
"""
