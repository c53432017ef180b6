"""The client without `asyncio`. All but `transport.py` is generated from `holdfast.client.aio`: change it there, then `make client`."""
