"""From the writer's thread to the event loop: waiting for a batch to be durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from muniment.errors import TryLater
from muniment.log import Acknowledgement, Batch

RETRY_SECONDS = 2.0
"""The longest pause before a log that takes nothing now is asked again."""

Submit = Callable[[Batch], Future[Acknowledgement]]


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


async def until_durable(
    submit: Submit, batch: Batch, refused: Callable[[TryLater], None]
) -> Acknowledgement:
    """Returns the acknowledgement, however often the log has to be asked.

    `refused` is told each time that the log takes nothing now. Raises what it refuses for good.
    """
    while True:
        try:
            return await durable(submit(batch))
        except TryLater as error:
            refused(error)
            await asyncio.sleep(min(error.retry_after, RETRY_SECONDS))
