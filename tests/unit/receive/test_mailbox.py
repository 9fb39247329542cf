"""Calls from other threads: all of them, in order, whatever one of them does."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest
import uvloop

from muniment.receive.mailbox import Mailbox


def test_no_call_of_many_threads_is_lost_or_out_of_order() -> None:
    threads, calls = 8, 5_000

    async def run() -> list[tuple[int, int]]:
        mailbox = Mailbox(asyncio.get_running_loop())
        taken: list[tuple[int, int]] = []
        every = asyncio.Event()

        def take(value: tuple[int, int]) -> None:
            taken.append(value)
            if len(taken) == threads * calls:
                every.set()

        def post(thread: int) -> None:
            for number in range(calls):
                mailbox.post(take, (thread, number))

        senders = [Thread(target=post, args=(thread,)) for thread in range(threads)]
        for sender in senders:
            sender.start()
        await asyncio.wait_for(every.wait(), 60)
        for sender in senders:
            sender.join()
        return taken

    taken = uvloop.run(run())
    for thread in range(threads):
        assert [number for sender, number in taken if sender == thread] == list(range(calls))


def test_a_call_that_fails_is_told_and_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[int]:
        mailbox = Mailbox(asyncio.get_running_loop())
        taken: list[int] = []
        mailbox.post(lambda _: 1 / 0, 0)
        mailbox.post(taken.append, 1)
        await asyncio.sleep(0.01)
        return taken

    assert uvloop.run(run()) == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_loop_that_has_ended_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    Mailbox(loop).post(print, "nobody hears this")
