"""Syslog over UDP, over real sockets: a datagram is a message, and what is dropped is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from receive_parts import MemoryLog, SteppingClock, make_intake, until

from muniment.errors import SettingsError
from muniment.receive import sockets
from muniment.receive.intake import MAX_RECORD
from muniment.receive.sockets import bind, bind_pair, bound_address, kernel_drops, widen
from muniment.receive.syslog import SyslogUdp
from muniment.receive.syslog import udp as syslog_udp
from muniment.settings import Address

LOOPBACK = Address("127.0.0.1", 0)


class Bench:
    """A receiver and a sender."""

    def __init__(self, bound: int) -> None:
        self.log = MemoryLog()
        clock = SteppingClock()
        self.socket = bind(LOOPBACK, socket.SOCK_DGRAM)
        self.target = self.socket.getsockname()
        self.receiver = SyslogUdp(self.socket, "nginx", make_intake(self.log, bound, clock), clock)
        self.sender = socket.socket(type=socket.SOCK_DGRAM)

    def send(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.sender.sendto(data, self.target)


@asynccontextmanager
async def running(bound: int = 1 << 30) -> AsyncIterator[Bench]:
    bench = Bench(bound)
    await bench.receiver.start()
    try:
        yield bench
    finally:
        bench.log.release()
        await bench.receiver.stop()
        bench.sender.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    uvloop.run(scenario())  # type: ignore[arg-type]


def test_a_datagram_is_a_message_without_its_trailer() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.send(
                b"<13>a", b"<13>b\n", b"<13>c\0", b"<13>d\n\0", b"", b"\n", b"5 <13>e\nf\xff"
            )
            await until(lambda: len(bench.log.entries) == 5)
            assert bench.log.raws("nginx") == [
                b"<13>a",
                b"<13>b",
                b"<13>c",
                b"<13>d",
                b"5 <13>e\nf\xff",
            ]
            header = bench.log.split()[0][0]
            port = bench.sender.getsockname()[1]
            assert (header["via"], header["peer"]) == ("syslog-udp", f"127.0.0.1:{port}")
            assert bench.receiver.messages == 7
            assert bench.receiver.empty == 2

    run(scenario)


def test_senders_are_told_apart_and_each_stays_in_order() -> None:
    async def scenario() -> None:
        async with running() as bench:
            senders = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(4)]
            for number in range(250):
                for sender in senders:
                    sender.sendto(b"<13>%d" % number, bench.target)
                await asyncio.sleep(0)
            await until(lambda: len(bench.log.entries) == 1_000)
            for sender in senders:
                peer = f"127.0.0.1:{sender.getsockname()[1]}"
                raws = [raw for header, raw in bench.log.split() if header["peer"] == peer]
                assert raws == [b"<13>%d" % number for number in range(250)]
                sender.close()

    run(scenario)


def test_a_datagram_longer_than_an_entry_is_cut_and_said_to_be() -> None:
    async def scenario() -> None:
        async with running() as bench:
            bench.send(b"<13>" + b"x" * (65_507 - 4), b"<13>next")
            await until(lambda: len(bench.log.entries) == 3)
            first, second = bench.log.raws("nginx")
            assert (len(first), second) == (MAX_RECORD, b"<13>next")
            notice = bench.log.own()[0]
            assert (notice["action"], notice["lost"]) == ("syslog.cut", 65_507 - MAX_RECORD)

    run(scenario)


def test_what_is_dropped_for_want_of_room_is_counted_and_recorded_in_the_log() -> None:
    async def scenario() -> None:
        async with running(bound=10_000) as bench:
            bench.log.hold = True
            for number in range(200):
                bench.send(b"<13>%03d" % number + b"x" * 993)
                await until(lambda number=number: bench.receiver.messages == number + 1)
            assert bench.receiver.dropped > 150
            bench.log.release()
            await until(lambda: bool(bench.log.own()))
            gap = bench.log.own()[0]
            assert gap["action"] == "syslog.gap"
            assert gap["count"] == bench.receiver.dropped
            assert gap["bytes"] == bench.receiver.dropped * 1_000
            assert len(bench.log.raws("nginx")) + gap["count"] == 200

    run(scenario)


def test_what_the_kernel_drops_is_recorded_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with running() as bench:
            drops = 0
            monkeypatch.setattr(syslog_udp, "kernel_drops", lambda _: drops)
            drops = 12
            await until(lambda: bool(bench.log.own()))
            gap = bench.log.own()[0]
            assert (gap["action"], gap["count"]) == ("syslog.gap", 12)
            assert "kernel" in gap["reason"]
            assert bench.receiver.kernel_dropped == 12

    run(scenario)


def test_a_stop_takes_what_the_kernel_holds() -> None:
    async def scenario() -> None:
        bench = Bench(1 << 30)
        await bench.receiver.start()
        bench.send(*(b"<13>%d" % number for number in range(100)))
        await bench.receiver.stop()
        assert bench.log.raws("nginx") == [b"<13>%d" % number for number in range(100)]
        await bench.receiver.stop()
        bench.sender.close()

    run(scenario)


def test_a_receiver_that_was_not_started_can_be_stopped() -> None:
    async def scenario() -> None:
        bench = Bench(1)
        await bench.receiver.stop()
        bench.sender.close()

    run(scenario)


@pytest.mark.skipif(not Path("/proc/net/udp").exists(), reason="Linux says what it drops")
def test_the_kernels_own_count_of_drops_is_read() -> None:
    receiver = bind(LOOPBACK, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    assert kernel_drops(receiver) == 0
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for _ in range(1_000):
            sender.sendto(b"x" * 1_000, receiver.getsockname())
    held = 0
    with pytest.raises(BlockingIOError):
        while True:
            receiver.recv(2_000)
            held += 1
    assert kernel_drops(receiver) == 1_000 - held > 0
    receiver.close()


def test_a_system_that_does_not_tell_its_drops_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_TABLES", {})
    with bind(LOOPBACK, socket.SOCK_DGRAM) as receiver:
        assert kernel_drops(receiver) == 0


def test_the_receive_buffer_is_widened() -> None:
    with bind(LOOPBACK, socket.SOCK_DGRAM) as receiver:
        before = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert widen(receiver) >= before


def test_both_protocols_get_the_same_port() -> None:
    tcp, udp = bind_pair(LOOPBACK)
    assert bound_address(tcp) == bound_address(udp)
    tcp.close()
    udp.close()


def test_an_address_that_is_taken_is_named() -> None:
    with bind(LOOPBACK, socket.SOCK_DGRAM) as taken:
        address = bound_address(taken)
        with pytest.raises(SettingsError, match=str(address)):
            bind(address, socket.SOCK_DGRAM)
        with pytest.raises(SettingsError, match=str(address)):
            bind_pair(address)
    with pytest.raises(SettingsError, match="cannot listen"):
        bind(Address("192.0.2.1", 1), socket.SOCK_STREAM)
