"""Records told on any thread reach their logs, in order, and never hold up who tells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Thread

from muniment.errors import InputError
from muniment.watch.notices import MAX_WAITING, Notices
from muniment.watch.records import Record


class Log:
    """Takes records, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.refusal: Exception | None = None
        self.refused = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, records: Sequence[Record]) -> None:
        await self.open.wait()
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        self.taken += records


async def _until(log: Log, count: int) -> None:
    for _ in range(500):
        if len(log.taken) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(log.taken)} of {count}")


def test_records_of_threads_and_of_before_the_start_are_put_in_order() -> None:
    async def run() -> list[Record]:
        log, stopping = Log(), asyncio.Event()
        notices = Notices({"edge": log})
        notices.tell("edge", {"n": 0})
        running = asyncio.create_task(notices.run(stopping))
        await asyncio.sleep(0)
        thread = Thread(target=lambda: [notices.tell("edge", {"n": n}) for n in range(1, 50)])
        thread.start()
        await _until(log, 50)
        thread.join()
        stopping.set()
        await asyncio.wait_for(running, 10)
        return log.taken

    assert asyncio.run(run()) == [{"n": n} for n in range(50)]


def test_a_refusal_and_an_unknown_log_stop_nothing() -> None:
    async def run() -> list[Record]:
        log, stopping = Log(), asyncio.Event()
        notices = Notices({"edge": log})
        running = asyncio.create_task(notices.run(stopping))
        log.refusal = InputError("no")
        notices.tell("edge", {"n": 0})
        notices.tell("other", {"n": 1})
        while not log.refused:
            await asyncio.sleep(0.01)
        log.refusal = None
        notices.tell("edge", {"n": 2})
        await _until(log, 1)
        stopping.set()
        await asyncio.wait_for(running, 10)
        return log.taken

    assert asyncio.run(run()) == [{"n": 2}]


def test_so_many_wait_and_no_more() -> None:
    async def run() -> int:
        log, stopping = Log(), asyncio.Event()
        log.open.clear()
        notices = Notices({"edge": log})
        running = asyncio.create_task(notices.run(stopping))
        await asyncio.sleep(0)
        for number in range(MAX_WAITING + 100):
            notices.tell("edge", {"n": number})
        await asyncio.sleep(0.05)
        log.open.set()
        await _until(log, MAX_WAITING)
        await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.wait_for(running, 10)
        return len(log.taken)

    assert MAX_WAITING <= asyncio.run(run()) <= MAX_WAITING + 1
