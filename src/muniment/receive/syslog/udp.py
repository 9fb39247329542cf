"""Syslog over UDP (RFC 5426, RFC 3164): one datagram, one message.

A thread of its own empties the socket, so that a busy event loop does not make the kernel drop
datagrams. Nothing can hold a sender of datagrams back: what comes while the intake is full is
dropped and counted, and a gap record in the log says how much; so are the kernel's own drops.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Sequence
from threading import Thread

from muniment.clock import Clock, rfc3339
from muniment.receive.header import Origin
from muniment.receive.intake import MAX_RECORD, Intake
from muniment.receive.port import Count
from muniment.receive.sockets import bound_address, kernel_drops, peer_text, widen
from muniment.receive.syslog.framing import trimmed

VIA = "syslog-udp"
LOOK_SECONDS = 1.0
STOP_SECONDS = 15.0
_MAX_DATAGRAM = 65_535
_ROUND = 512


class SyslogUdp:
    """The receiver on a bound UDP socket."""

    def __init__(
        self,
        listener: socket.socket,
        source: str,
        intake: Intake,
        clock: Clock,
        *,
        name: str = VIA,
    ) -> None:
        self.name = name
        self._socket, self._source, self._intake, self._clock = listener, source, intake, clock
        self._address = str(bound_address(listener))
        self._wake, self._woken = -1, -1
        self._thread = Thread(target=self._read, name=VIA, daemon=True)
        self._looker: asyncio.Task[None] | None = None
        self._stopping = False
        self.messages = self.bytes = self.empty = 0
        self.dropped = self.dropped_bytes = self.cut = 0
        self.kernel_dropped = 0
        self._told = (0, 0, 0)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers, and its intake's."""
        name = self.name
        return (
            Count("receive_messages", name, "Messages received.", lambda: self.messages),
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count("receive_cut", name, "Messages that were cut.", lambda: self.cut),
            Count("receive_dropped", name, "Dropped for want of room.", lambda: self.dropped),
            Count("receive_kernel_dropped", name, "By the kernel.", lambda: self.kernel_dropped),
            *self._intake.counts(name),
        )

    async def start(self) -> None:
        """Begins to read."""
        widen(self._socket)
        self._woken, self._wake = os.pipe()
        self._intake.start()
        self._thread.start()
        self._looker = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Reads what the kernel holds, and sends it."""
        if self._stopping or self._looker is None:
            self._socket.close()
            return
        self._stopping = True
        os.write(self._wake, b".")
        await asyncio.to_thread(self._thread.join)
        self._looker.cancel()
        self._tell_gaps()
        self._socket.close()
        os.close(self._wake)
        os.close(self._woken)
        await self._intake.close(STOP_SECONDS)

    def _read(self) -> None:
        """The thread: waits for datagrams and takes as many as there are."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(self._woken, select.POLLIN)
        while True:
            poller.poll()
            taken = self._round(self._socket)
            if not taken and self._stopping:
                return

    def _round(self, source: socket.socket) -> int:
        by_peer: dict[tuple[str, int], list[bytes]] = {}
        number = size = 0
        for _ in range(_ROUND):
            try:
                data, peer = source.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of something sent before; nothing of ours
            number += 1
            size += len(data)
            by_peer.setdefault(peer[:2], []).append(data)
        self.messages += number
        self.bytes += size
        for peer, datagrams in by_peer.items():
            self._put(datagrams, peer)
        return number

    def _put(self, datagrams: list[bytes], peer: tuple[str, int]) -> None:
        records = [record for data in datagrams if (record := trimmed(data))]
        self.empty += len(datagrams) - len(records)
        if self._intake.full:
            self.dropped += len(records)
            self.dropped_bytes += sum(map(len, records))
            return
        long = [record for record in records if len(record) > MAX_RECORD]
        if long:
            records = [record[:MAX_RECORD] for record in records]
        self._intake.put(records, Origin(VIA, self._source, peer_text(peer)))
        for record in long:
            self.cut += 1
            self._intake.record(
                {
                    "action": "syslog.cut",
                    "resource": f"{VIA} {self.address}",
                    "outcome": "failure",
                    "reason": "the message is longer than an entry",
                    "peer": peer_text(peer),
                    "kept": MAX_RECORD,
                    "lost": len(record) - MAX_RECORD,
                }
            )

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._tell_gaps()

    def _tell_gaps(self) -> None:
        """Records what was dropped since the last time, once there is room for a record."""
        self.kernel_dropped = kernel_drops(self._socket)
        ours, ours_bytes, kernels = self._told
        if self._intake.full and not self._stopping:
            return
        self._told = (self.dropped, self.dropped_bytes, self.kernel_dropped)
        if self.dropped > ours:
            lost = {"count": self.dropped - ours, "bytes": self.dropped_bytes - ours_bytes}
            self._gap("the log took no more: received messages were dropped", lost)
        if self.kernel_dropped > kernels:
            lost = {"count": self.kernel_dropped - kernels}
            self._gap("the kernel's receive buffer was full: datagrams were dropped", lost)

    def _gap(self, reason: str, lost: dict[str, int]) -> None:
        self._intake.record(
            {
                "time": rfc3339(self._clock.now()),
                "action": "syslog.gap",
                "resource": f"{VIA} {self.address}",
                "outcome": "failure",
                "reason": reason,
                **lost,
            }
        )
