"""`Client` and `AsyncClient` behind one face, so that each test holds for both."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any

import uvloop

from holdfast import AsyncClient, Client

PATIENCE_S = 60.0


class Loop:
    """An event loop in a thread."""

    def __init__(self, new: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop = new()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """An `AsyncClient` whose calls are waited for; what it iterates over comes as a list."""

    def __init__(self, loop: Loop, client: AsyncClient) -> None:
        self._loop, self._client = loop, client

    def __getattr__(self, name: str) -> Any:
        thing = getattr(self._client, name)
        return self._waiting(thing) if callable(thing) else thing

    def close(self) -> None:
        self._loop.run(self._client.aclose())

    def _waiting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wait(*args: Any, **options: Any) -> Any:
            got = call(*args, **options)
            if isinstance(got, AsyncClient):
                return Blocking(self._loop, got)
            if isinstance(got, AbstractContextManager):
                return got
            if isinstance(got, AbstractAsyncContextManager):
                return self._entered(got)
            return self._loop.run(got if inspect.iscoroutine(got) else _listed(got))

        return wait

    @contextmanager
    def _entered(self, manager: AbstractAsyncContextManager[Any]) -> Iterator[Any]:
        """What is within a block of `async with`; it is left as the block is left."""
        got = self._loop.run(manager.__aenter__())
        try:
            yield got
        except BaseException as error:
            self._loop.run(manager.__aexit__(type(error), error, error.__traceback__))
            raise
        self._loop.run(manager.__aexit__(None, None, None))


async def _listed(several: Any) -> list[Any]:
    return [one async for one in several]


LOOPS = {"async": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Clients:
    """Makes clients of one kind, and closes them. They are patient, because a busy machine is not what their tests are about."""

    def __init__(self, kind: str) -> None:
        self._loop = Loop(LOOPS[kind]) if kind in LOOPS else None
        self._made: list[Any] = []

    def __call__(self, url: Any = None, **options: Any) -> Any:
        loop, options = self._loop, {"deadline_s": PATIENCE_S} | options
        self._made.append(Client(url, **options) if loop is None else Blocking(loop, AsyncClient(url, **options)))
        return self._made[-1]

    def close(self) -> None:
        for client in self._made:
            client.close()
        if self._loop is not None:
            self._loop.close()
