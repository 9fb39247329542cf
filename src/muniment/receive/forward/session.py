"""One connection of the forward protocol: the handshake, messages in, acknowledgements out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from muniment.errors import InputError, MunimentError
from muniment.receive.forward.delivery import Delivery, Packed, host_of
from muniment.receive.forward.handshake import MAX_PING, Handshake
from muniment.receive.forward.message import Message
from muniment.receive.forward.refusals import Refusals
from muniment.receive.forward.room import Room
from muniment.receive.forward.stream import Messages
from muniment.receive.forward.taken import Taken
from muniment.receive.forward.wire import as_str
from muniment.receive.header import Origin
from muniment.receive.intake import Intake

VIA = "forward"
MAX_IN_FLIGHT = 32
"""Chunks of one connection that wait to be durable; it is not read while there are more."""

HANDSHAKE_SECONDS = 30.0
_ACK = b"\x81\xa3ack"


class Line(Protocol):
    """What a session needs of its connection. See muniment.receive.stream.Connection."""

    peer: str
    sender: str

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...


@dataclass(slots=True)
class Shared:
    """What all sessions of a receiver have in common.

    `waiting` are sessions with messages that the intake has no room for; `hold_all` makes every
    sender wait.
    """

    source: str
    intake: Intake
    delivery: Delivery
    refusals: Refusals
    room: Room
    handshake: Callable[[], Handshake | None]
    hold_all: Callable[[], None]
    max_message: int
    taken: Taken = field(default_factory=Taken)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    waiting: dict[ForwardSession, None] = field(default_factory=dict)
    rejected: int = 0
    unauthenticated: int = 0
    stopping: bool = False

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work that a stop waits for."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class ForwardSession:
    """The session of one client."""

    def __init__(self, shared: Shared, connection: Line) -> None:
        self._shared, self._connection = shared, connection
        self._sender = connection.sender
        self._host = host_of(connection.peer)
        self._taken = shared.taken.connection()
        self._messages = Messages(shared.max_message)
        self._working = 0
        self._flying = 0
        self._gone = self._over = self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._handshake = shared.handshake()
        if self._handshake is not None:
            self._messages.limit = MAX_PING
            connection.write(self._handshake.helo)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(HANDSHAKE_SECONDS, self._late)

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come."""
        if not self._over:
            self._messages.feed(data)
            self._pump()

    def end(self) -> None:
        """The client is gone; what it sent is taken all the same."""
        self._gone = True
        self._taken.close()
        self._stop_timer()
        self._pump()

    def resume(self) -> None:
        """Goes on with what waits, where there is room again."""
        if not self._over:
            self._pump()

    def evict(self) -> None:
        """Gives up an unfinished message, for want of memory."""
        self._reject("memory was short, and this message had been unfinished for the longest time")

    @property
    def _blocked(self) -> bool:
        shared = self._shared
        busy = self._working or self._flying >= MAX_IN_FLIGHT
        return bool(busy or self._over or shared.stopping or shared.intake.full)

    def _pump(self) -> None:
        """Takes the messages that are whole, as far as there is room for them."""
        finished = False
        held = self._messages.held
        try:
            while not self._blocked and (elements := self._messages.next()) is not None:
                finished = True
                self._take(elements)
                held = self._messages.held
        except InputError as error:
            self._reject(error.detail, held - self._messages.held)
        if self._over:
            return
        self._shared.room.hold(self, self._messages.held, new=finished)
        if self._shared.intake.full:
            self._shared.waiting[self] = None
            self._shared.hold_all()
        self._settle()
        if self._gone and (self._shared.stopping or not self._blocked):
            self._finish()

    def _settle(self) -> None:
        """Reads on, or does not."""
        wants = bool(self._working) or self._flying >= MAX_IN_FLIGHT
        if wants is not self._held:
            self._held = wants
            (self._connection.hold if wants else self._connection.release)()

    def _take(self, elements: list[bytes]) -> None:
        if self._handshake is not None:
            self._greet(self._handshake, elements)
            return
        message = Message.of(elements)
        shared = self._shared
        shared.delivery.numbers.messages += 1
        if not shared.delivery.is_small(message):
            self._working = message.size
            shared.room.working += message.size
            shared.run(self._work(message))
        elif message.option.chunk is None:
            shared.delivery.put(message, self._origin())
        else:
            packed = shared.delivery.pack(message, self._origin())
            self._flying += 1
            shared.run(self._deliver(packed))

    def _origin(self) -> Origin:
        return Origin(VIA, self._shared.source, self._connection.peer, self._sender)

    async def _work(self, message: Message) -> None:
        """Takes a large message apart, then waits until it is durable."""
        try:
            packed = await self._shared.delivery.pack_apart(message, self._origin())
        except InputError as error:
            self._reject(error.detail, message.size)
            return
        except asyncio.CancelledError:
            if message.option.chunk is None:  # nobody sends it again
                self._reject("the node stopped while the log had no room", message.size)
            raise
        except Exception:
            self._reject("the message could not be taken apart", message.size)
            raise
        finally:
            self._shared.room.working -= self._working
            self._working = 0
        self._flying += 1
        self.resume()
        del message
        await self._deliver(packed)

    def _id(self, packed: Packed) -> str | None:
        """The id that makes a repetition harmless; none for what is no repetition."""
        chunk = packed.chunk
        if chunk is None or not packed.named_by_content:
            return packed.id
        key = (self._host, chunk)
        known = key in self._shared.taken
        if not self._gone:
            self._taken.add(key)
        return None if known else packed.id

    async def _deliver(self, packed: Packed) -> None:
        """Answers once all is durable, and only then."""
        chunk = packed.chunk
        try:
            await self._shared.delivery.deliver(packed, self._id(packed))
        except asyncio.CancelledError:
            if chunk is None:  # nobody sends it again
                self._shared.intake.abandoned += packed.count
            raise
        except MunimentError as error:
            self._reject(error.detail, packed.size)
        else:
            if chunk is not None:
                self._shared.delivery.numbers.acknowledged += 1
                self._connection.write(_ACK + as_str(chunk))
        finally:
            self._flying -= 1
            self.resume()

    def _greet(self, handshake: Handshake, elements: list[bytes]) -> None:
        verdict = handshake.judge(elements)
        self._connection.write(verdict.pong)
        if verdict.reason:
            self._shared.unauthenticated += 1
            self._reject(verdict.reason)
            return
        self._handshake = None
        self._stop_timer()
        self._messages.limit = self._shared.max_message
        if verdict.sender.startswith("user:") or not self._sender:
            self._sender = verdict.sender

    def _late(self) -> None:
        self._reject(f"no PING came within {HANDSHAKE_SECONDS:.0f} seconds")

    def _reject(self, reason: str, lost: int = 0) -> None:
        """Refuses what is here and what would still come: closes, without any acknowledgement."""
        if self._over:
            return
        self._shared.rejected += 1
        lost += self._messages.held
        self._shared.refusals.tell(reason, self._connection.peer, self._sender, lost)
        self._finish(said=True)
        self._connection.close()

    def _finish(self, *, said: bool = False) -> None:
        """Nothing more is taken; a message that did not become whole is told of."""
        if not said and self._messages.inside:
            self._reject("the connection ended inside a message")
            return
        self._over = True
        self._stop_timer()
        self._messages = Messages(0)
        self._shared.waiting.pop(self, None)
        self._shared.room.hold(self, 0, new=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
