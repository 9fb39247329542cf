"""The Fluentd forward protocol, version 1: Fluentd, Fluent Bit, the fluent-loggers.

A chunk is acknowledged when it is durable, and not before; one that is sent again is acknowledged
and adds nothing. What asks for no acknowledgement is read no faster than the log takes it. What a
receiver cannot take is refused as a whole: counted, logged, recorded, never acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

from muniment.clock import Clock
from muniment.receive.forward.delivery import Delivery
from muniment.receive.forward.handshake import Handshake
from muniment.receive.forward.heartbeat import Heartbeat
from muniment.receive.forward.refusals import Refusals
from muniment.receive.forward.room import Room
from muniment.receive.forward.session import VIA, ForwardSession, Shared
from muniment.receive.intake import Intake
from muniment.receive.port import Count
from muniment.receive.stream import StreamServer

MAX_MESSAGE = 32 << 20
MAX_UNPACKED = 128 << 20
ROOM = 128 << 20
STOP_SECONDS = 15.0


class Forward:
    """The receiver on a bound TCP socket, and on a UDP socket for heartbeats.

    `source` is the envelope's parser and `inner` that of the lines inside, or empty. Clients have
    to show the `shared_key` where there is one, and a user's password where there are `users`.
    `hostname` is what it calls itself; Fluentd refuses a server that has its own name.

    `max_message` bounds a message in bytes, `max_unpacked` what one takes when it is taken apart,
    `room` what all connections hold of messages that are not taken apart yet.
    """

    def __init__(
        self,
        listener: socket.socket,
        heartbeat: socket.socket | None,
        source: str,
        inner: str,
        intake: Intake,
        clock: Clock,
        node: str,
        *,
        name: str = VIA,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[IPv4Network | IPv6Network] = (),
        max_connections: int = 1_000,
        idle_seconds: float = 3_600.0,
        shared_key: str | None = None,
        users: Mapping[str, str] | None = None,
        hostname: str = "",
        max_message: int = MAX_MESSAGE,
        max_unpacked: int = MAX_UNPACKED,
        room: int = ROOM,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.intake, self._datagrams = intake, heartbeat
        self._heartbeat = Heartbeat(clock)
        self.server = StreamServer(
            listener,
            name,
            lambda connection: ForwardSession(self._shared, connection),
            clock,
            tls=tls,
            proxies=proxies,
            max_connections=max_connections,
            idle_seconds=idle_seconds,
        )

        def handshake() -> Handshake | None:
            if shared_key is None:
                return None
            return Handshake(shared_key, users or {}, hostname or f"muniment.{node}", randomness)

        self._shared = Shared(
            f"{source}/{inner}" if inner else source,
            intake,
            Delivery(intake, clock, node, max_unpacked),
            Refusals(f"{VIA} {self.server.address}", intake.record, clock),
            Room(room),
            handshake,
            self.server.hold_all,
            max_message,
        )

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
        name, shared, beats = self.server.name, self._shared, self._heartbeat
        numbers = shared.delivery.numbers
        return (
            Count("receive_messages", name, "Messages received.", lambda: numbers.messages),
            Count(
                "receive_acknowledged", name, "Chunks acknowledged.", lambda: numbers.acknowledged
            ),
            Count("receive_replayed", name, "Chunks that came again.", lambda: numbers.replayed),
            Count("receive_conflicts", name, "Ids used again.", lambda: numbers.conflicts),
            Count("receive_rejected", name, "Refused, and closed.", lambda: shared.rejected),
            Count(
                "receive_unauthenticated",
                name,
                "Handshakes that failed.",
                lambda: shared.unauthenticated,
            ),
            Count("receive_evicted", name, "Unfinished too long.", lambda: shared.room.evicted),
            Count("receive_heartbeats", name, "Over UDP, answered.", lambda: beats.answered),
            *self.server.counts,
            *self.intake.counts(name),
        )

    async def start(self) -> None:
        """Begins to accept."""
        self.intake.start()
        self.intake.on_room.append(self._on_room)
        if self._datagrams is not None:
            await self._heartbeat.start(self._datagrams)
        await self.server.start()

    async def stop(self) -> None:
        """Accepts nothing more, makes durable and acknowledges what was read, and closes."""
        await self.server.stop_accepting()
        self._heartbeat.stop()
        if not self.server.started:
            if self._datagrams is not None:
                self._datagrams.close()
            return
        await self.server.last_words()
        self.server.hold_all()
        await self._finish_work()
        await self.server.stop()
        await self.intake.close(STOP_SECONDS)

    async def _finish_work(self) -> None:
        """Waits for all that was read, for so long at most."""
        tasks = self._shared.tasks
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while tasks:
                    await asyncio.wait(list(tasks))
        except TimeoutError:
            pass
        self._shared.stopping = True
        for task in list(tasks):
            task.cancel()

    def _on_room(self) -> None:
        """The intake takes more: goes on with what waits, and reads on if that left room."""
        shared = self._shared
        shared.delivery.tell_room()
        for session in list(shared.waiting):
            if self.intake.full:
                return
            del shared.waiting[session]
            session.resume()
        if not self.intake.full and not shared.stopping:
            self.server.release_all()
