"""Syslog over TLS (RFC 5425): the same receiver, and the certificate's name as the sender."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from receive_parts import MemoryLog, SteppingClock, make_intake, until
from stream_parts import listener, run
from tests.authority import SERVER, Authority

from muniment.receive.syslog import SyslogTcp
from muniment.receive.tls import tls_context


class Bench:
    """A receiver with a certificate, and senders with or without one."""

    def __init__(self, directory: Path, *, proxied: bool = False) -> None:
        self.authority = Authority(directory)
        server = self.authority.server()
        found = listener()
        self.port = found.getsockname()[1]
        self.log = MemoryLog()
        clock = SteppingClock()
        self.receiver = SyslogTcp(
            found,
            "syslog",
            make_intake(self.log, 100_000, clock),
            clock,
            tls=tls_context(server.certificate, server.key, self.authority.certificate, ()),
            proxies=[ip_network("127.0.0.0/8")] if proxied else (),
        )

    def trust(self, *names: str) -> ssl.SSLContext:
        """A client's context; with a certificate where there are names."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if names:
            one = self.authority.issue("not this", [x509.DNSName(name) for name in names])
            context.load_cert_chain(one.certificate, one.key)
        return context

    async def send(self, data: bytes, context: ssl.SSLContext, head: bytes = b"") -> None:
        """One connection that sends this and ends."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head)
        await writer.start_tls(context, server_hostname=SERVER)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def running(directory: Path, *, proxied: bool = False) -> AsyncIterator[Bench]:
    bench = Bench(directory, proxied=proxied)
    await bench.receiver.start()
    try:
        yield bench
    finally:
        bench.log.release()
        await bench.receiver.stop()


def test_messages_carry_the_name_in_the_client_certificate(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            await bench.send(b"5 <13>a6 <14>bb", bench.trust("edge-1.example.org", "second"))
            await until(lambda: len(bench.log.entries) == 2)
            assert bench.log.raws() == [b"<13>a", b"<14>bb"]
            header, _ = bench.log.split()[0]
            assert (header["via"], header["from"], header["as"]) == (
                "syslog-tls",
                "cert:edge-1.example.org",
                "syslog",
            )
            assert header["peer"].startswith("127.0.0.1:")
            assert bench.receiver.name == "syslog-tls"

    run(scenario)


def test_who_has_no_certificate_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", bench.port, ssl=bench.trust(), server_hostname=SERVER
            )
            writer.write(b"5 <13>a")  # TLS 1.3: a client learns only now
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await reader.read()
                raise ConnectionResetError  # closed without a word
            writer.close()
            await until(lambda: bench.log.entries == [] and not bench.receiver.server.connections)
            counts = {count.name: count.value() for count in bench.receiver.counts}
            assert counts["receive_tls_failed"] == 1

    run(scenario)


def test_behind_a_proxy_both_the_client_and_its_certificate_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, proxied=True) as bench:
            head = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 6514\r\n"
            await bench.send(b"5 <13>a", bench.trust("edge-1"), head)
            await until(lambda: len(bench.log.entries) == 1)
            header, _ = bench.log.split()[0]
            assert (header["peer"], header["from"]) == ("192.0.2.7:56324", "cert:edge-1")

    run(scenario)


def test_senders_wait_over_tls_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as bench:
            bench.log.hold = True
            texts = [b"<13>%06d %s" % (number, b"x" * 200) for number in range(50_000)]
            stream = b"".join(b"%d %s" % (len(text), text) for text in texts)
            sending = asyncio.create_task(bench.send(stream, bench.trust("edge-1")))
            await until(lambda: bench.receiver.server.held)
            taken = bench.receiver.server.bytes
            await asyncio.sleep(0.1)
            assert bench.receiver.server.bytes == taken < len(stream)
            assert not sending.done()
            bench.log.release()
            await sending
            await until(lambda: len(bench.log.entries) == len(texts))
            assert bench.log.raws() == texts

    run(scenario)


def test_a_stop_takes_all_that_was_sent_before_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        await bench.receiver.start()
        texts = [b"<13>%d" % number for number in range(20_000)]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", bench.port, ssl=bench.trust("edge-1"), server_hostname=SERVER
        )
        writer.write(b"".join(b"%d %s" % (len(text), text) for text in texts) + b"20 <13>cut")
        await writer.drain()
        await until(lambda: bool(bench.receiver.server.connections))
        await bench.receiver.stop()
        assert bench.log.raws() == [*texts, b"<13>cut"]
        writer.close()

    run(scenario)
