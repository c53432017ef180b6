"""Only the names are imported; the tests of them can't apply."""


def exclusive_transaction(*_: object):
    """A decorator that does nothing."""
    return lambda function: function


def normalize_uuid(value: object) -> str:
    """None."""
    return str(value)
