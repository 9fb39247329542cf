"""Syslog over TCP (RFC 6587) and TLS (RFC 5425), held back when the log is slow.

What has been read is never dropped: while the intake is full no connection is read, so that the
senders wait, or spool.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from muniment.clock import Clock
from muniment.receive.header import Origin
from muniment.receive.intake import MAX_RECORD, Intake
from muniment.receive.port import Count
from muniment.receive.stream import Connection, StreamServer
from muniment.receive.syslog.framing import Cut, Framer

TCP, TLS = "syslog-tcp", "syslog-tls"
STOP_SECONDS = 15.0


class SyslogTcp:
    """The receiver on a bound TCP socket; over TLS where a context is given."""

    def __init__(
        self,
        listener: socket.socket,
        source: str,
        intake: Intake,
        clock: Clock,
        *,
        name: str = "",
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        max_connections: int = 1_000,
        idle_seconds: float = 3_600.0,
    ) -> None:
        self.via = TCP if tls is None else TLS
        self._source, self.intake = source, intake
        self.server = StreamServer(
            listener,
            name or self.via,
            lambda connection: _Sender(self, connection),
            clock,
            tls=tls,
            proxies=proxies,
            max_connections=max_connections,
            idle_seconds=idle_seconds,
        )
        self.messages = self.cut = 0

    @property
    def name(self) -> str:
        """What tells it apart from the others."""
        return self.server.name

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.server.address

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers, its server's, and its intake's."""
        name = self.server.name
        return (
            Count("receive_messages", name, "Messages received.", lambda: self.messages),
            Count("receive_cut", name, "Messages that were cut.", lambda: self.cut),
            *self.server.counts,
            *self.intake.counts(name),
        )

    async def start(self) -> None:
        """Begins to accept."""
        self.intake.start()
        self.intake.on_room.append(self.server.release_all)
        await self.server.start()

    async def stop(self) -> None:
        """Accepts nothing more, reads what is on its way, and sends it."""
        await self.server.stop_accepting()
        if self.server.started:
            await self.server.last_words(farewell=True)
            await self.server.stop()
            await self.intake.close(STOP_SECONDS)

    def take(self, messages: list[bytes], cuts: Sequence[Cut], connection: Connection) -> None:
        """Passes a connection's messages on, and stops reading where that fills the intake."""
        self.messages += len(messages)
        self.intake.put(
            messages, Origin(self.via, self._source, connection.peer, connection.sender)
        )
        for cut in cuts:
            self.cut += 1
            self.intake.record(
                {
                    "action": "syslog.cut",
                    "resource": f"{self.via} {self.address}",
                    "outcome": "failure",
                    "reason": cut.reason,
                    "peer": connection.peer,
                    "kept": cut.kept,
                    "lost": cut.lost,
                }
            )
        if self.intake.full:
            self.server.hold_all()


class _Sender:
    """The session of one sender."""

    def __init__(self, receiver: SyslogTcp, connection: Connection) -> None:
        self._receiver, self._connection = receiver, connection
        self._framer = Framer(MAX_RECORD)

    def feed(self, data: bytes) -> None:
        messages = self._framer.feed(data)
        self._receiver.take(messages, self._framer.take_cuts(), self._connection)

    def end(self) -> None:
        messages = self._framer.close()
        self._receiver.take(messages, self._framer.take_cuts(), self._connection)
