"""How a second terminal speaks to a running fleet: a Unix socket in its folder, mode 0600.

A request is one line of JSON, an `Order`. The answer is lines of JSON, each a `Told`; the last one
has `end`, the exit code of whoever asked. A change goes on when the one who asked goes away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from muniment.errors import InputError, MunimentError, NotFound
from muniment.up.fleet import Fleet
from muniment.up.status import ProcessStatus

MAX_LINE = 1 << 20
ORDER_SECONDS = 5.0
CONNECTIONS = 16

Tell = Callable[["Told"], None]
Act = Literal["status", "scale", "restart", "kill", "start"]
_logger = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done: `count` nodes for scale, a `node` for kill and start."""

    act: Act
    count: int = 0
    node: str = ""
    disk: bool = False


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the answer: a sentence, the processes, or the end with what went wrong."""

    say: str = ""
    processes: list[ProcessStatus] = []
    end: int | None = None
    error: str = ""


def decode_order(line: bytes) -> Order:
    """Reads a request. Raises InputError."""
    try:
        return msgspec.json.decode(line, type=Order)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"this is no order for a fleet: {error}") from error


@asynccontextmanager
async def controlled(fleet: Fleet, path: Path) -> AsyncIterator[None]:
    """Takes orders for the time of the block. Raises OSError where it cannot listen."""
    doing: set[asyncio.Task[None]] = set()
    at_once = asyncio.Semaphore(CONNECTIONS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        doing.add(task)
        async with at_once:
            await _answer(fleet, reader, writer)
        doing.discard(task)

    with _short(path) as name:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(name)
        finally:
            os.umask(before)
    server = await asyncio.start_unix_server(serve, sock=listener, limit=MAX_LINE)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        for task in doing:
            task.cancel()


def ask(path: Path, order: Order) -> Generator[Told]:
    """Sends an order, and yields what is answered. Raises NotFound where no fleet runs."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            with _short(path) as name:
                client.connect(name)
            client.sendall(msgspec.json.encode(order) + b"\n")
        except (FileNotFoundError, NotADirectoryError, ConnectionError) as error:
            raise NotFound(f"no fleet runs in {path.parent}") from error
        with client.makefile("rb") as lines:
            while line := lines.readline(MAX_LINE):
                told = msgspec.json.decode(line, type=Told)
                yield told
                if told.end is not None:
                    return
    raise NotFound(f"the fleet in {path.parent} ended meanwhile")


async def _answer(fleet: Fleet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def tell(told: Told) -> None:
        if not writer.is_closing():
            writer.write(msgspec.json.encode(told) + b"\n")

    try:
        line = await asyncio.wait_for(reader.readline(), ORDER_SECONDS)
        await _carry_out(fleet, decode_order(line), tell)
        tell(Told(end=0))
    except MunimentError as error:
        tell(Told(end=1, error=error.detail))
    except (TimeoutError, ValueError, OSError) as error:
        tell(Told(end=2, error=str(error) or "no order came"))
    except Exception as error:  # whoever asked is not to think that the fleet ended
        _logger.exception("an order failed")
        tell(Told(end=2, error=f"a defect of the fleet: {type(error).__name__}; it runs on"))
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def _carry_out(fleet: Fleet, order: Order, tell: Tell) -> None:
    def say(text: str) -> None:
        fleet.say(text)
        tell(Told(say=text))

    match order.act:
        case "status":
            tell(Told(processes=list(await fleet.status())))
        case "scale":
            await fleet.scale(order.count, say)
        case "restart":
            await fleet.restart(say)
        case "kill":
            await fleet.kill(order.node, say, disk=order.disk)
        case "start":
            await fleet.revive(order.node, say)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the path that fits into the 107 bytes that the address of a Unix socket has."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
