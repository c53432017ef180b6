"""The client for `asyncio`. All but `transport.py` is also the source of `holdfast.client.sync`: after a change, `make client`."""
