"""rsyslog forwards over TCP and TLS: every line once, over restarts; a kill loses what is said."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from muniment.trust.directory import verify_directory
from tests.authority import Authority

from .harness.process import free_port
from .harness.rsyslog import Rsyslog, Trust, rsyslog
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

LINES = 20_000
KILLS = 2
ON_THE_WAY = 8 << 20
"""Far above what the kernel holds for a connection that is read, and what waits for one sync."""

NAME = "edge-1.example.org"
LISTENER = """
[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{port}"
tls_certificate = "{certificate}"
tls_key = "{key}"
tls_client_ca = "{authority}"
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def over_tls(authority: Authority) -> tuple[str, int]:
    """The settings of a TLS listener that asks for certificates, and its port."""
    server, port = authority.server(), free_port()
    text = LISTENER.format(
        port=port,
        certificate=server.certificate,
        key=server.key,
        authority=authority.certificate,
    )
    return text, port


def trust(authority: Authority) -> Trust:
    return Trust(authority.certificate, authority.issue("edge", [x509.DNSName(NAME)]))


def texts(prefix: str, count: int = LINES) -> list[bytes]:
    """Access log lines, each with its number."""
    line = '192.0.2.7 - - [21/Nov/2026:06:00:00 +0000] "GET /%s/%d HTTP/1.1" 200 12 "-" "a b"'
    return [(line % (prefix, number)).encode() for number in range(count)]


def received(server: MunimentServer) -> list[tuple[dict[str, Any], bytes]]:
    """Header and message of all that came over syslog, in order."""
    split = [split_entry(entry) for entry in server.stored()]
    found = [(json.loads(header), raw) for header, raw in split]
    return [(header, raw) for header, raw in found if header["as"] == "syslog"]


def message(raw: bytes) -> bytes:
    """What follows rsyslog's header, RFC 5424 or 3164."""
    return re.sub(rb"^<134>(1 \S+ \S+ nginx - - - |\S+ +\d+ [\d:]+ \S+ nginx: )", b"", raw)


def messages(server: MunimentServer) -> list[bytes]:
    return [message(raw) for _, raw in received(server)]


def wait_for_last(server: MunimentServer, sent: list[bytes]) -> None:
    """Waits until the last line is there; rsyslog keeps the order."""

    def there() -> bool:
        size = server.shard()["size"]
        if not size:
            return False
        (newest,) = server.stored(size - 1)[:1]
        return message(split_entry(newest)[1]) == sent[-1]

    wait_for(there, lambda: f"{len(sent)} lines; there are {server.shard()}", 120)


@pytest.mark.parametrize("lines", [False, True], ids=["octet-counted", "lines"])
def test_lines_over_tcp_are_entries_in_order(tmp_path: Path, lines: bool) -> None:
    with (
        serving(tmp_path) as server,
        rsyslog(tmp_path, server.syslog_port, lines=lines) as sender,
    ):
        same = texts("same", 1) * 1_000
        sent = [*texts("a", 1_000), *same, *texts("b", 1_000), b"x" * 50_000, b"the last"]
        sender.log(sent)
        wait_for_last(server, sent)

        assert messages(server) == sent
        headers = [header for header, _ in received(server)]
        assert {header["via"] for header in headers} == {"syslog-tcp"}
        assert "from" not in headers[0]
        server.wait_indexed()
        rows = list(server.rows("path:/same/0 via:syslog-tcp"))
        assert len(rows) == 1_000
        assert not any(row.get("parse_error") for row in rows)
        server.stop()
    assert verify_directory(server.data).intact


def test_over_tls_every_entry_names_the_client_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    config, port = over_tls(authority)
    with (
        serving(tmp_path, config=config) as server,
        rsyslog(tmp_path, port, trust=trust(authority)) as sender,
    ):
        sent = texts("tls")
        sender.log(sent)
        wait_for_last(server, sent)

        assert messages(server) == sent
        told = {(header["via"], header["from"]) for header, _ in received(server)}
        assert told == {("syslog-tls", f"cert:{NAME}")}


def test_a_certificate_of_somebody_else_gets_nothing_in(
    tmp_path: Path, authority: Authority
) -> None:
    config, port = over_tls(authority)
    strangers = Authority(tmp_path, "strangers").issue("edge", [x509.DNSName(NAME)])
    refused = re.compile(r"^muniment_receive_tls_failed_total\{.*\} ([1-9]\d*)\.0$", re.M)
    with (
        serving(tmp_path, config=config) as server,
        rsyslog(tmp_path, port, trust=Trust(authority.certificate, strangers)) as sender,
    ):
        sender.log(texts("stranger", 10))
        wait_for(lambda: refused.search(server.http.get("/metrics").text), "refused handshakes")
        assert server.shard()["size"] == 0


class Traffic:
    """Lines that are logged at a steady rate until `finish`."""

    def __init__(self, sender: Rsyslog) -> None:
        self.sent: list[bytes] = []
        self._sender = sender
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for number in itertools.count():
            lines = texts(f"round-{number}", 20)
            self._sender.log(lines)
            self.sent += lines
            if self._done.wait(0.01):
                return

    def finish(self) -> list[bytes]:
        """Ends with a last line; returns all."""
        self._done.set()
        self._thread.join(30)
        self._sender.log([b"the last"])
        return [*self.sent, b"the last"]


@pytest.fixture(params=["tcp", "tls"])
def stream(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority
) -> Iterator[tuple[MunimentServer, Rsyslog]]:
    """A server, and an rsyslog that forwards to it over TCP or TLS."""
    config, port = over_tls(authority)
    with serving(tmp_path, config=config) as server:
        if request.param == "tcp":
            with rsyslog(tmp_path, server.syslog_port) as sender:
                yield server, sender
        else:
            with rsyslog(tmp_path, port, trust=trust(authority)) as sender:
                yield server, sender
        server.stop()
        assert verify_directory(server.data).intact


def test_a_restart_in_mid_stream_loses_nothing(stream: tuple[MunimentServer, Rsyslog]) -> None:
    server, sender = stream
    traffic = Traffic(sender)
    for _ in range(KILLS):
        before = server.shard()["size"]
        wait_for(lambda least=before + 500: server.shard()["size"] > least, "traffic")
        server.stop()
        time.sleep(0.3)
        server.start()
    sent = traffic.finish()
    wait_for_last(server, sent)

    counts = Counter(messages(server))
    assert Counter(sent) == counts


def test_what_a_kill_in_mid_stream_can_lose(stream: tuple[MunimentServer, Rsyslog]) -> None:
    """Without acknowledgements: what was on its way. Everything else is there, and in order."""
    server, sender = stream
    traffic = Traffic(sender)
    for _ in range(KILLS):
        before = server.shard()["size"]
        wait_for(lambda least=before + 500: server.shard()["size"] > least, "traffic")
        server.kill()
        time.sleep(0.3)
        server.start()
    sent = traffic.finish()
    wait_for_last(server, sent)

    found = messages(server)
    counts = Counter(found)
    missing = [line for line in sent if line not in counts]
    twice = [line for line, count in counts.items() if count > 1]
    runs = itertools.groupby(sent, lambda line: line not in counts)
    gaps = [list(run) for gone, run in runs if gone]
    print(f"\n{KILLS} kills: {len(missing)} of {len(sent)} lines lost, in gaps of", end=" ")
    print([f"{len(gap)} lines ({sum(map(len, gap)):,} bytes)" for gap in gaps], end=", ")
    print(f"{len(twice)} twice")
    order = {line: number for number, line in enumerate(sent)}
    assert [order[line] for line in found] == sorted(order[line] for line in found)
    assert len(gaps) <= KILLS
    assert sum(map(len, missing)) < KILLS * ON_THE_WAY
