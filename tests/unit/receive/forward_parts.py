"""What the tests of the forward protocol stand on: messages as senders write them, and a line."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha512
from itertools import pairwise
from typing import Any

import msgpack
import zstandard
from hypothesis import strategies as st
from receive_parts import MemoryLog, SteppingClock, make_intake

from muniment.errors import MunimentError
from muniment.receive.forward.delivery import SMALL_BYTES, Delivery
from muniment.receive.forward.handshake import Handshake
from muniment.receive.forward.message import Message
from muniment.receive.forward.refusals import Refusals
from muniment.receive.forward.room import Room
from muniment.receive.forward.session import ForwardSession, Shared
from muniment.receive.forward.stream import Messages

EVENT_TIME = msgpack.ExtType(0, b"\x69\x55\x00\x00\x00\x00\x00\x07")
EVENTS: list[tuple[Any, Any]] = [
    (1_767_225_600, {"message": "first"}),
    (EVENT_TIME, {"message": "second", "deep": {"a": [1, None, 2.5, b"\xff"]}}),
    ([EVENT_TIME, {"meta": "data"}], {}),
]


def pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


def entry(tag: str, time: Any, record: Any) -> bytes:
    """What stands in the log for an event."""
    return pack([tag, time, record])


def entries(tag: str = "edge") -> list[bytes]:
    return [entry(tag, *event) for event in EVENTS]


def packed_events(events: Iterable[Any] = EVENTS) -> bytes:
    return b"".join(pack(list(event)) for event in events)


def packed(body: bytes | None = None, tag: str = "edge", **option: Any) -> bytes:
    """PackedForward mode, the body a bin."""
    parts: list[Any] = [tag, packed_events() if body is None else body]
    return pack([*parts, option] if option else parts)


def message(text: str, **option: Any) -> bytes:
    """Message mode."""
    parts: list[Any] = ["edge", 1, {"message": text}]
    return pack([*parts, option] if option else parts)


def compressed(coding: str, body: bytes | None = None) -> bytes:
    body = packed_events() if body is None else body
    return gzip.compress(body) if coding == "gzip" else zstandard.compress(body)


LARGE = packed(packed_events([(n, {"message": "x" * 300}) for n in range(500)]), chunk="large")
"""500 events, too large to be taken apart on the event loop."""

assert len(LARGE) > SMALL_BYTES


def ack(chunk: str) -> bytes:
    return pack({"ack": chunk})


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def elements_of(data: bytes) -> list[bytes]:
    """The elements of the one message in `data`."""
    messages = Messages(1 << 20)
    messages.feed(data)
    found = messages.next()
    assert found is not None
    assert not messages.held
    return found


def taken(data: bytes, limit: int = 1 << 24) -> list[bytes]:
    """The entries of the one message in `data`."""
    return cut_up(Message.of(elements_of(data)), limit)


def cut_up(found: Message, limit: int) -> list[bytes]:
    """The entries of a message."""
    return [one for piece in found.entries(found.content(limit), limit) for one in piece]


def ping(
    helo: bytes,
    key: str = "secret",
    host: str = "client",
    user: str = "",
    password: str = "",
    salt: bytes = b"\xff" * 16,
) -> bytes:
    """What a client with this key and this user says to a HELO."""
    said = msgpack.unpackb(helo, raw=True)[1]
    digest = sha512(salt + host.encode() + said[b"nonce"] + key.encode()).hexdigest()
    auth = sha512(said[b"auth"] + user.encode() + password.encode()).hexdigest()
    named = [user, auth] if said[b"auth"] else ["", ""]
    # The salt is a str of bytes that are no UTF-8, as Fluent Bit sends it.
    head = b"\x96" + pack("PING") + pack(host) + b"\xb0" + salt
    return head + b"".join(map(pack, [digest, *named]))


class FakeLine:
    """A connection that remembers what was done to it."""

    def __init__(self, peer: str = "192.0.2.1:40000", sender: str = "") -> None:
        self.peer, self.sender = peer, sender
        self.written: list[bytes] = []
        self.closed = self.held = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class Stand:
    """Sessions over a log that a test controls."""

    def __init__(
        self,
        key: str | None = None,
        users: dict[str, str] | None = None,
        *,
        bound: int = 1 << 20,
        room: int = 1 << 20,
        max_message: int = 1 << 20,
        max_unpacked: int = 4 << 20,
    ) -> None:
        self.log, self.clock = MemoryLog(), SteppingClock()
        self.intake = make_intake(self.log, bound, self.clock)
        self.intake.start()
        self.holds = 0
        delivery = Delivery(self.intake, self.clock, "test-node", max_unpacked)

        def handshake() -> Handshake | None:
            return None if key is None else Handshake(key, users or {}, "server", bytes)

        def hold_all() -> None:
            self.holds += 1

        self.shared = Shared(
            "forward",
            self.intake,
            delivery,
            Refusals("forward test", self.intake.record, self.clock),
            Room(room),
            handshake,
            hold_all,
            max_message,
        )
        self.intake.on_room.append(self._on_room)

    def _on_room(self) -> None:
        self.shared.delivery.tell_room()
        for session in list(self.shared.waiting):
            del self.shared.waiting[session]
            session.resume()

    def connect(self, sender: str = "") -> tuple[ForwardSession, FakeLine]:
        line = FakeLine(sender=sender)
        return ForwardSession(self.shared, line), line

    def stored(self) -> list[bytes]:
        return self.log.raws("forward")

    def reasons(self) -> list[str]:
        """Why things were refused, as the log says it."""
        return [str(record["reason"]) for record in self.log.own()]


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    """A stream in pieces."""
    ends = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in pairwise(ends)]


def read(pieces: Iterable[bytes], limit: int) -> tuple[list[list[bytes]], str, int]:
    """The messages of a stream in pieces, why it ended, and the most that was held."""
    messages = Messages(limit)
    found: list[list[bytes]] = []
    most = 0
    for piece in pieces:
        messages.feed(piece)
        try:
            while (elements := messages.next()) is not None:
                found.append(elements)
        except MunimentError as error:
            return found, error.detail, most
        most = max(most, messages.held)
    return found, "", most


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=12)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
times = st.integers(0, 2**33) | st.just(EVENT_TIME) | st.just([EVENT_TIME, {"a": 1}])
events = st.lists(st.tuples(times, values), max_size=6)
options = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "chunk": st.text(max_size=40) | st.binary(max_size=40) | values,
        "size": values,
        "compressed": st.sampled_from(["text", "gzip", "zstd", "lz4"]) | values,
        "fluent_signal": st.integers(-3, 5) | values,
        "metadata": values,
        "other": values,
    },
)


def _said(parts: list[Any], option: Any) -> bytes:
    return pack(parts if option is None else [*parts, option])


streams_of_messages = st.lists(
    st.one_of(
        st.builds(
            lambda tag, pairs, option: _said([tag, [list(pair) for pair in pairs]], option),
            st.text(max_size=8),
            events,
            options,
        ),
        st.builds(
            lambda tag, pairs, text, option: _said([tag, packed_events(pairs)], option),
            st.text(max_size=8),
            events,
            st.booleans(),
            options,
        ),
        st.builds(
            lambda tag, pair, option: _said([tag, *pair], option),
            st.text(max_size=8),
            st.tuples(times, values),
            options,
        ),
        st.just(b"\xc0"),
        st.binary(max_size=30),
    ),
    max_size=5,
).map(b"".join)


@st.composite
def broken_streams(draw: st.DrawFn) -> bytes:
    """Good messages with a few bytes changed, put in or taken out."""
    stream = bytearray(draw(streams_of_messages))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(stream)))
        stream[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(stream)
