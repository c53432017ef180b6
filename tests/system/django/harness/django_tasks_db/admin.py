"""Only the name is imported; the tests of it can't apply."""


class DBTaskResultAdmin:
    """None."""
