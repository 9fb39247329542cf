"""One call of a gRPC client: its messages, one after the other, within bounds.

A message is what stands behind a flag and a length in the call's data. As long as a whole one
waits, what comes behind it is not acknowledged to the sender, whose window closes: a service that
does not ask for the next message holds its sender back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from muniment.access import Caller
from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, TooLarge
from muniment.receive.coding import Coding, decode

SMALL = 16 << 10
"""Bytes up to which work is done on the event loop; more goes to another thread."""

_PREFIX = 5

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What calls may take: bytes of a message, before and after decompression, and of all."""

    message: int
    memory: Budget
    workers: Executor


class Call:
    """A call that was admitted. `peer` is `ip:port`, `log` where its entries go.

    `consumed` is told of the flow-controlled bytes that the sender may replace.
    """

    def __init__(
        self,
        path: bytes,
        caller: Caller,
        peer: str,
        log: str,
        coding: Coding,
        bounds: Bounds,
        consumed: Callable[[int], None],
    ) -> None:
        self.path, self.caller, self.peer, self.log = path, caller, peer, log
        self.work = Hold(bounds.memory)
        self.gone = False
        self._coding, self._bounds, self._consumed = coding, bounds, consumed
        self._hold = Hold(bounds.memory)
        self._buffer = bytearray()
        self._owed = 0
        self._failure: MunimentError | None = None
        self._ended = self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def partial(self) -> bool:
        """Whether the beginning of a message is here, and its rest has to come from the sender."""
        return bool(self._buffer) and not self._ended and not self._whole

    def feed(self, data: bytes, flow: int) -> None:
        """Takes data of `flow` flow-controlled bytes.

        Where there is no memory for it, `message` raises that after the whole messages before it.
        """
        self._owed += flow
        if self._failure is None and not self._closed:
            try:
                self._hold.grow(len(data))
                self._buffer += data
            except MunimentError as error:
                self._failure = error
                self._wake()
        self._settle()

    def finish(self) -> None:
        """The sender has sent all, or no more is to be taken."""
        self._ended = True
        self._wake()

    def abandon(self) -> None:
        """The sender is gone: it waits for no answer; whole messages that are here can be read."""
        self.gone = True
        self.finish()

    def close(self) -> None:
        """Gives all memory back; what still comes is dropped."""
        self._closed = True
        self._buffer.clear()
        self._hold.shrink_to(0)
        self.work.shrink_to(0)
        self._pay()

    async def message(self) -> bytes | None:
        """Returns the next message, decompressed; None where there is none any more.

        What the one before took is given back: `work` is empty then. Raises InputError where the
        call ends inside a message, or where that is compressed as was not announced; TooLarge,
        Overloaded.
        """
        self.work.shrink_to(0)
        self._hold.shrink_to(len(self._buffer))
        while not self._whole:
            self._check_size()
            if self._failure is not None:
                raise self._failure
            if self._ended:
                if self._buffer:
                    raise InputError("the call ended inside a message")
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        flag, size = self._buffer[0], self._size
        with memoryview(self._buffer) as view:
            body = bytes(view[_PREFIX : _PREFIX + size])
        del self._buffer[: _PREFIX + size]
        self._settle()
        if flag == 0:
            return body
        if flag != 1 or self._coding is Coding.IDENTITY:
            raise InputError("the message is compressed, and grpc-encoding does not say how")
        limit, grow = self._bounds.message, self.work.grow
        return await self.run(len(body), decode, self._coding, body, limit, grow)

    async def run(
        self, size: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Calls a function: on another thread where it has much to do."""
        if size <= SMALL and self._coding is Coding.IDENTITY:
            return function(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._bounds.workers, lambda: function(*args, **kwargs))

    @property
    def _size(self) -> int:
        """The size of the next message; 0 where it is not known yet."""
        return int.from_bytes(self._buffer[1:_PREFIX], "big") if len(self._buffer) >= _PREFIX else 0

    @property
    def _whole(self) -> bool:
        """Whether a whole message is here that may be taken."""
        return len(self._buffer) >= _PREFIX + self._size and self._size <= self._bounds.message

    def _check_size(self) -> None:
        if self._size > self._bounds.message:
            raise TooLarge(
                f"the message has {self._size:,} bytes, more than {self._bounds.message:,}",
                advice="send less at once",
            )

    def _settle(self) -> None:
        """Wakes who waits for a message; the sender may go on where a whole one is not here."""
        if self._whole or self._size > self._bounds.message:
            self._wake()
        else:
            self._pay()

    def _pay(self) -> None:
        owed, self._owed = self._owed, 0
        if owed:
            self._consumed(owed)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Service(Protocol):
    """One method of a gRPC service."""

    @property
    def name(self) -> str:
        """Its name in metrics and, as `via`, in receipt headers."""

    @property
    def path(self) -> bytes:
        """The path of its calls: `/package.Service/Method`."""

    async def serve(self, call: Call) -> bytes:
        """Takes a call's messages and returns the message that answers it.

        Raises MunimentError, which becomes the status of the call.
        """
