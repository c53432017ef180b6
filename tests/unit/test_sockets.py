"""Which addresses a host has, and whether others reach it."""

import socket

import pytest

from holdfast.config import Config
from holdfast.sockets import address_of


@pytest.fixture
def names(monkeypatch):
    """A resolver that knows a name of several addresses: DNS gives them in an order that changes."""
    known = {"both.example": ["127.0.0.1", "192.0.2.1"], "inside.example": ["127.0.0.1", "127.0.0.2"]}

    def resolved(host: str, port: int, *_: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in known.get(host, [host])]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.usefixtures("names")
def test_a_name_that_may_stand_for_an_address_beyond_loopback_is_not_served_without_keys():
    assert address_of("both.example") == "127.0.0.1"
    assert "host both.example would be in reach" in str(Config(host="both.example").unsafe(has_keys=False))
    assert "beanstalk both.example would" in str(Config(beanstalk="both.example:1").unsafe(has_keys=False))
    assert Config(host="inside.example").unsafe(has_keys=False) is None
