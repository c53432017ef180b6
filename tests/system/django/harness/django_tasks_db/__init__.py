"""In place of the package of this name, whose tests are run: its backend is Holdfast's."""

from holdfast_suite.backends import Suite


class DatabaseBackend(Suite):
    """Holdfast's, by this name."""
