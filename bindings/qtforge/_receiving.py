"""Receivers in asyncio: coroutines that wait for a message, on whatever loop they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtforge.errors import BusError, ErrorCode

if TYPE_CHECKING:
    import asyncio

    from qtforge._qtforge import Receiver

__all__ = ["Waiters", "following", "receive"]

_NOTHING = object()


class Waiters:
    """The futures of a receiver's coroutines that wait. Its steps are atomic under the GIL, so it needs no lock."""

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[None], None] = {}

    def add(self, future: asyncio.Future[None]) -> None:
        self._futures[future] = None

    def discard(self, future: asyncio.Future[None]) -> None:
        self._futures.pop(future, None)

    def wake(self) -> None:
        """Has all look for a message; the host calls it on any thread. Who finds none waits again."""
        for future in list(self._futures):
            self.discard(future)
            try:
                future.get_loop().call_soon_threadsafe(_complete, future)
            except RuntimeError:
                pass  # its loop is closed


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def receive(receiver: Receiver[Any], waiters: Waiters) -> Any:
    """The oldest message, when there is one. Takes it without waiting in between, so a cancelled one has taken none."""
    import asyncio  # here, since not every program needs it

    while (message := receiver.try_receive(_NOTHING)) is _NOTHING:
        future = asyncio.get_running_loop().create_future()
        waiters.add(future)
        try:
            if not receiver._await_message():
                await future
        finally:
            waiters.discard(future)
    return message


async def following(receiver: Receiver[Any], waiters: Waiters) -> Any:
    """As `receive`, for `async for`."""
    try:
        return await receive(receiver, waiters)
    except BusError as error:
        if error.code is not ErrorCode.SHUTTING_DOWN:
            raise
    raise StopAsyncIteration
