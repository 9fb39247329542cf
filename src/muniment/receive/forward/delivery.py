"""From a message of the forward protocol to durable entries, once, however often it is sent.

A chunk's id names its batch, so that the log itself knows a repetition, also after a crash. Small
messages are packed at once; large or compressed ones one at a time on a thread, and only while the
intake has room, so that no more than one of them exists unpacked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from hashlib import sha256

from muniment.clock import Clock, rfc3339
from muniment.errors import Conflict
from muniment.kernel import Chunk
from muniment.log import Batch
from muniment.receive.coding import Coding
from muniment.receive.forward.message import Message
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.receive.intake import Intake

SMALL_BYTES = 64 << 10


@dataclass(slots=True)
class Numbers:
    """What was done, for the metrics."""

    messages: int = 0
    acknowledged: int = 0
    replayed: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """A message ready for the log.

    `chunk` is the id to acknowledge, `id` that of the batch, which its entries' headers name too,
    `named_by_content` what Message.is_named_by says.
    """

    chunks: list[Chunk]
    chunk: bytes | None
    id: str | None
    named_by_content: bool

    @property
    def count(self) -> int:
        """How many entries there are."""
        return sum(chunk.count for chunk in self.chunks)

    @property
    def size(self) -> int:
        """How many bytes they take."""
        return sum(len(chunk.payload) for chunk in self.chunks)


class Delivery:
    """The way of messages into an intake. `limit` bounds what one of them unpacks to, in bytes."""

    def __init__(self, intake: Intake, clock: Clock, node: str, limit: int) -> None:
        self._intake, self._clock, self._node, self._limit = intake, clock, node, limit
        self._turn, self._room = asyncio.Lock(), asyncio.Event()
        self.numbers = Numbers()

    @staticmethod
    def is_small(message: Message) -> bool:
        """Whether a message may be taken apart on the event loop."""
        return message.size <= SMALL_BYTES and message.option.coding is Coding.IDENTITY

    def put(self, message: Message, origin: Origin) -> None:
        """Takes a small message that asks for no answer. Raises InputError."""
        content = message.content(self._limit)
        entries = [one for piece in message.entries(content, self._limit) for one in piece]
        self._intake.put(entries, replace(origin, about=message.option.about))

    def pack(self, message: Message, origin: Origin) -> Packed:
        """Packs a message's entries, all of them or none; for any thread. Raises InputError."""
        option = message.option
        content = message.content(self._limit)
        named = message.is_named_by(content)
        id_ = chunk_id(option.chunk, host_of(origin.peer) if named else "")
        origin = replace(origin.identified(id_), about=option.about)
        at = rfc3339(self._clock.now())
        chunks: list[Chunk] = []
        for piece in message.entries(content, self._limit):
            chunks += pack_records(piece, at, self._node, origin)
        return Packed(chunks, option.chunk, origin.batch_id, named)

    async def pack_apart(self, message: Message, origin: Origin) -> Packed:
        """As `pack`, on a thread, when it is this message's turn and there is room."""
        async with self._turn:
            while self._intake.full:
                self._room.clear()
                await self._room.wait()
            return await asyncio.to_thread(self.pack, message, origin)

    def tell_room(self) -> None:
        """The intake is not full any more."""
        self._room.set()

    async def deliver(self, packed: Packed, id_: str | None) -> None:
        """Returns once the entries are durable, however long that takes.

        An id that came before with other events says nothing about these: they are taken without.
        """
        if not packed.chunks:
            return
        try:
            answer = await self._intake.deliver(Batch(packed.chunks, id_))
        except Conflict:
            self.numbers.conflicts += 1
            await self._intake.deliver(Batch(packed.chunks))
        else:
            self.numbers.replayed += answer.replayed


def host_of(peer: str) -> str:
    """The address of an `ip:port`."""
    return peer.rpartition(":")[0]


def chunk_id(chunk: bytes | None, host: str = "") -> str:
    """The id of a chunk's batch, empty for none: the same for the same host and chunk."""
    if not chunk:
        return ""
    text = chunk.decode("latin-1").removesuffix("\n")  # fluentd's base64 ends in one
    if not (text.isascii() and text.isprintable()):
        text = f"sha256:{sha256(chunk).hexdigest()}"
    return f"forward {host} {text}" if host else f"forward {text}"
