"""Orders from a second terminal, on a socket whose path may be long."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, NotFound, SettingsError
from muniment.up.control import Order, Told, ask, controlled, decode_order
from muniment.up.status import ProcessStatus

ONE = ProcessStatus(
    name="ingest-1", role="ingest", state="ready", pid=7, restarts=0, url="https://127.0.0.1:1"
)


class FakeFleet:
    """Does nothing, and remembers what."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def say(self, text: str) -> None:
        self.done.append(text)

    async def status(self) -> Sequence[ProcessStatus]:
        return [ONE]

    async def scale(self, count: int, say: Any) -> None:
        say("draining")
        self.done.append(count)

    async def restart(self, say: Any) -> None:
        raise SettingsError("not now")

    async def kill(self, name: str, say: Any, *, disk: bool) -> None:
        self.done.append((name, disk))


def asked(path: Path, fleet: FakeFleet, order: Order) -> list[Told]:
    """What a client in another thread is told, while the fleet takes orders."""
    found: list[Told] = []

    async def run() -> None:
        async with controlled(fleet, path):  # type: ignore[arg-type]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            found.extend(await asyncio.to_thread(lambda: list(ask(path, order))))

    asyncio.run(run())
    assert not path.exists()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    long = tmp_path / ("a-folder-with-a-long-name" * 5)
    long.mkdir()
    return long / "control"


def test_the_processes_are_told(path: Path) -> None:
    assert asked(path, FakeFleet(), Order("status")) == [Told(processes=[ONE]), Told(end=0)]


def test_a_change_is_told_step_by_step(path: Path) -> None:
    fleet = FakeFleet()
    assert asked(path, fleet, Order("scale", count=5)) == [Told(say="draining"), Told(end=0)]
    assert fleet.done == ["draining", 5]


def test_a_node_is_killed_with_its_disk(path: Path) -> None:
    fleet = FakeFleet()
    asked(path, fleet, Order("kill", node="ingest-1", disk=True))
    assert fleet.done == [("ingest-1", True)]


def test_what_cannot_be_done_is_told(path: Path) -> None:
    assert asked(path, FakeFleet(), Order("restart")) == [Told(end=1, error="not now")]


def test_a_defect_is_told_too(path: Path) -> None:
    (told,) = asked(path, FakeFleet(), Order("start", node="ingest-1"))
    assert told == Told(end=2, error="a defect of the fleet: AttributeError; it runs on")


def test_a_socket_that_was_left_behind_is_no_fleet(path: Path) -> None:
    with pytest.raises(NotFound, match="no fleet runs"):
        list(ask(path, Order("status")))
    path.touch()
    with pytest.raises(NotFound, match="no fleet runs"):
        list(ask(path, Order("status")))
    assert asked(path, FakeFleet(), Order("status"))


def test_one_who_goes_away_stops_nothing(path: Path) -> None:
    fleet, may_end = FakeFleet(), threading.Event()

    async def slow(count: int, say: Any) -> None:
        say("begun")
        await asyncio.to_thread(may_end.wait, 20)
        say("to nobody")
        fleet.done.append(count)

    fleet.scale = slow  # type: ignore[method-assign]

    async def run() -> None:
        async with controlled(fleet, path):  # type: ignore[arg-type]
            answers = ask(path, Order("scale", count=3))
            await asyncio.to_thread(lambda: next(answers))
            answers.close()
            may_end.set()
            async with asyncio.timeout(20):
                while 3 not in fleet.done:
                    await asyncio.sleep(0.01)

    asyncio.run(run())


@pytest.mark.fuzz
@given(st.binary(max_size=300))
def test_any_bytes_are_an_order_or_an_error(data: bytes) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(decode_order(data), Order)
