"""Greed: callers that take as much memory and time of a server as it lets them have, and what an honest caller feels beside them."""
