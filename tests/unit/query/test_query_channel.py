"""The owner's end of the line: a process that is late, hangs, or never says a word."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from muniment.errors import Unavailable
from muniment.query import channel as channel_module
from muniment.query.channel import Channel

PATIENCE = 60.0
"""Seconds that no test needs."""

ANSWERS = """
import json, sys, time
print(json.dumps({"indexed": {}, "following": [], "duplicates": {}}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["op"] == "start":
        time.sleep(LATE)
    print(json.dumps({"id": asked["id"], "ok": {"late": LATE}}), flush=True)
"""
"""Speaks once, and then only when it is asked."""

MUTE = "import sys; sys.stdin.read()"


def answering(late: float = 0.0) -> str:
    return ANSWERS.replace("LATE", str(late))


@asynccontextmanager
async def running(code: str) -> AsyncIterator[Channel]:
    """A channel to a process; who is in the block calls `open`."""
    made = Channel([sys.executable, "-c", code], dict, lambda news: None)
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        if made.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(made.pid, signal.SIGCONT)
        await made.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_a_process_may_need_longer_to_start_than_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(answering(late=0.5)) as channel:
            with monkeypatch.context() as short:
                short.setattr(channel_module, "_ANSWER_SECONDS", 0.1)
                await channel.open()
            assert await channel.ask("status") == {"late": 0.5}

    asyncio.run(work())


def test_a_question_that_a_process_does_not_read_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async with running(answering()) as channel:
            await channel.open()
            assert channel.pid is not None
            os.kill(channel.pid, signal.SIGSTOP)
            monkeypatch.setattr(channel_module, "_ANSWER_SECONDS", 0.2)
            with pytest.raises(Unavailable, match="in time"):
                await channel.ask("search", q="x" * 900_000)  # more than a pipe holds

    asyncio.run(work())


def test_a_process_that_falls_silent_is_ended_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with running(answering()) as channel:
            await channel.open()
            first = channel.pid
            await until(lambda: channel.pid not in (None, first))
            assert "has said nothing" in caplog.text
            answer = None
            while answer is None:
                with suppress(Unavailable):
                    answer = await channel.ask("status")
                await asyncio.sleep(0.01)

    monkeypatch.setattr(channel_module, "_LISTEN_SECONDS", 0.1)
    asyncio.run(work())


def test_of_a_process_that_never_says_a_word_it_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with running(MUTE) as channel:
            opening = asyncio.create_task(channel.open())
            await until(lambda: "still starting" in caplog.text)
            pid = channel.pid
            await asyncio.sleep(0.5)
            assert caplog.text.count("still starting") == 1
            assert channel.pid == pid is not None and not opening.done()
        await opening

    monkeypatch.setattr(channel_module, "_LISTEN_SECONDS", 0.01)
    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
