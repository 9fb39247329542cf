"""Envoy's access log service (`envoy/service/accesslog/v3/als.proto`).

A stream of messages without acknowledgement. Only the first one says who sends, and at length:
Envoy lists every extension that it was built with, some 60 KB. That identifier is kept once for
each stream, as an entry of its own; each log entry is kept in a message of its own with the
identifier's main parts: the node's id, cluster and locality, and the name of the log.

A message is read once the one before it is durable: HTTP/2's windows hold Envoy back, which
buffers as much as it is configured to, and then drops.
"""

from __future__ import annotations

from dataclasses import dataclass

from muniment.receive.coding import Grow
from muniment.receive.groups import Records
from muniment.receive.grpc.call import Call
from muniment.receive.grpc.keeping import Keeper
from muniment.receive.protobuf import Walk, cut, varint

IDENTIFIER, HTTP_LOGS, TCP_LOGS = 1, 2, 3
"""Fields of a StreamAccessLogsMessage; the last two hold repeated entries in their field 1."""

_NODE = 1
_OF_NODE = (1, 2, 4)
"""Of a Node: id, cluster, locality."""

ANSWER = b""
"""A StreamAccessLogsResponse."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a message holds: a new identifier, if it has one, and messages of one entry each."""

    identifier: bytes
    records: list[bytes]


class EnvoyLogs:
    """The service."""

    name = "envoy"
    path = b"/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def serve(self, call: Call) -> bytes:
        """Takes a stream's messages to its end. Raises InputError, TooLarge."""
        identifier = b""
        while (message := await call.message()) is not None:
            self._keeper.tally.bytes += len(message)
            found = await call.run(len(message), cut_message, message, identifier, call.work.grow)
            identifier = found.identifier or identifier
            # Without the identifier's own record: Envoy counts what it logs, too.
            self._keeper.tally.messages += len(found.records) - bool(found.identifier)
            await self._keeper.keep_asking(call, self.name, [Records("envoy", found.records)])
        return ANSWER


def cut_message(message: bytes, identifier: bytes, grow: Grow) -> Cut:
    """Cuts a StreamAccessLogsMessage; `identifier` is the short one of those before it.

    The first record is the message's own identifier as it came, where it has one. What is neither
    that nor an entry is kept in every record, or as one where there is no entry. Raises
    InputError, TooLarge, Overloaded.
    """
    head, spans, tail = Walk(message, grow).split(0, len(message), IDENTIFIER)
    records: list[bytes] = []
    if spans:
        whole = b"".join(message[begin:end] for begin, end in spans)
        grow(2 * len(whole))
        identifier = _short(whole, grow)
        records.append(_field(IDENTIFIER, whole))
    before = _field(IDENTIFIER, identifier) if identifier else b""
    rest = head + tail
    grow(2 * len(rest))
    http, rest = _apart(rest, HTTP_LOGS, grow)
    tcp, others = _apart(rest, TCP_LOGS, grow)
    for number, logs in ((HTTP_LOGS, http), (TCP_LOGS, tcp)):
        records += cut(before + others + logs, (number, 1), grow)
    if others and not records:
        records.append(before + others)
    return Cut(identifier if spans else b"", records)


def _short(whole: bytes, grow: Grow) -> bytes:
    """The identifier with the main parts of its node alone."""
    walk = Walk(whole, grow)
    head, nodes, tail = walk.split(0, len(whole), _NODE)
    picked = b"".join(
        _field(number, whole[begin:end])
        for start, stop in nodes
        for number in _OF_NODE
        for begin, end in walk.split(start, stop, number).spans
    )
    return head + _field(_NODE, picked) + tail


def _apart(data: bytes, number: int, grow: Grow) -> tuple[bytes, bytes]:
    """Returns a message's fields of one number, and all others."""
    head, spans, tail = Walk(data, grow).split(0, len(data), number)
    return b"".join(_field(number, data[begin:end]) for begin, end in spans), head + tail


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content
