"""Servers for the commands that look at a store in use."""

from tests.whole.conftest import home, serve, serving

__all__ = ["home", "serve", "serving"]
