"""From the writer's thread to the event loop: waiting for a batch to be durable."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress

from muniment.log import Acknowledgement


async def durable(future: Future[Acknowledgement]) -> Acknowledgement:
    """Returns the acknowledgement, or raises what the batch was refused with.

    Giving up the wait does not take the batch back: it is on its way.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Acknowledgement] = loop.create_future()

    def settle() -> None:
        if waiter.done():
            return
        error = future.exception()
        if error is None:
            waiter.set_result(future.result())
        else:
            waiter.set_exception(error)

    def done(_: Future[Acknowledgement]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(done)
    return await waiter
