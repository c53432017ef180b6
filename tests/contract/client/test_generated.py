"""The two clients are one: what differs between them is generated, and both have every call."""

import inspect

from holdfast import AsyncClient, Client
from tests.contract.client.generate import differences


def test_the_client_without_asyncio_is_what_make_client_generates():
    assert not differences()


def test_both_clients_have_the_same_calls_with_the_same_parameters():
    def calls(kind):
        return {
            name: [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
            for name, function in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in ("close", "aclose")
        }

    assert len(calls(Client)) > 40
    assert calls(Client) == calls(AsyncClient)
