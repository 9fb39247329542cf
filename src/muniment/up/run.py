"""The life of a fleet in the foreground: made or continued, started, run, ended."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

from muniment.clock import SystemClock
from muniment.errors import SettingsError
from muniment.log.disk import PosixDisk
from muniment.up import front
from muniment.up.control import controlled
from muniment.up.fleet import Fleet
from muniment.up.places import Places
from muniment.up.plan import Plan, Wish, load_plan, make_plan
from muniment.up.ports import FreePorts
from muniment.up.prepare import make_folders, prepare

Beside = Callable[[Fleet], Coroutine[None, None, None]]
"""What runs as long as the fleet does."""

Started = Callable[[Fleet, str | None], None]
"""Told once all is there, with the admin token where it was made now."""


def make(
    folder: Path, wish: Wish, check: Callable[[Plan], None] = front.check_ports
) -> tuple[Places, Plan, str | None]:
    """Makes what a fleet needs in its folder, or changes it as wished.

    `check` raises SettingsError where the edge could not listen here and now.

    Returns the admin token where it was made now. Raises SettingsError, also where the balancer is
    not here or cannot listen: before anything is made. Raises Corrupt, OSError.
    """
    places, disk = Places(folder.absolute()), PosixDisk()
    before = load_plan(places.plan)
    ports = FreePorts(before.ports if before is not None else ())
    plan = make_plan(places, wish, before, ports)
    front.check_installed(plan.edge)
    check(plan)
    plan.save(places.plan, disk)
    return places, plan, prepare(places, plan, disk=disk, clock=SystemClock())


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Locks the folder for the time of the block; makes it. Raises SettingsError, OSError."""
    places = Places(folder.absolute())
    make_folders(places)
    lock = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise SettingsError(f"another `muniment up` runs the fleet in {folder}") from error
    finally:
        os.close(lock)


async def run(
    fleet: Fleet, token: str | None, started: Started, beside: Beside | None = None
) -> bool:
    """Runs the fleet until SIGTERM or SIGINT; a second one ends it at once.

    `beside` is begun when all is there, and cancelled first.

    Says whether all processes ended well. Raises MunimentError where it did not come up.
    """
    told: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, told.put_nowait, None)
    stop = asyncio.create_task(told.get())
    doing: list[asyncio.Task[None]] = []
    begun = asyncio.create_task(_start(fleet, token, started, beside, doing))
    try:
        async with controlled(fleet, fleet.places.control):
            await asyncio.wait({begun, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done() and begun.exception() is None:
                await stop
    finally:
        for task in (begun, *doing):
            task.cancel()
        await asyncio.gather(begun, *doing, return_exceptions=True)
        ended = await _end(fleet, told)
    if begun.done() and not begun.cancelled() and (error := begun.exception()) is not None:
        raise error
    return ended


async def _start(
    fleet: Fleet,
    token: str | None,
    started: Started,
    beside: Beside | None,
    doing: list[asyncio.Task[None]],
) -> None:
    await fleet.start(fleet.say)
    started(fleet, token)
    fleet.announced()
    if beside is not None:
        doing.append(asyncio.create_task(beside(fleet)))


async def _end(fleet: Fleet, told: asyncio.Queue[None]) -> bool:
    """Ends it in order; at once where that is asked for again meanwhile."""
    again = asyncio.create_task(told.get())
    ending = asyncio.create_task(fleet.stop(fleet.say))
    await asyncio.wait({again, ending}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if ending.done():
        return ending.result()
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    await fleet.abandon()
    return False
