"""Greed: callers that take as much memory and time of a server as they can, and their effect on an honest caller."""
