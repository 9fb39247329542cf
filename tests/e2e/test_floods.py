"""Connections that say too little, too slowly, or in a million pieces: bounded memory and time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from .harness.memory import MIB, Watch, watching
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

MOST_RESIDENT = 400 * MIB
MILLION = 1_000_000
HEAD = (
    b"POST /api/v1/logs/default/entries?as=text HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: text/plain\r\nConnection: close\r\n"
)


@pytest.fixture
def server(tmp_path) -> Iterator[MunimentServer]:
    """Short patience, so that a test can see where it ends."""
    env = {"MUNIMENT_HEADER_TIMEOUT": "2", "MUNIMENT_BODY_TIMEOUT": "2"}
    with serving(tmp_path, env) as one:
        yield one
        assert one.accepted(b"the last word")["count"] == 1


@pytest.fixture
def watch(server: MunimentServer) -> Iterator[Watch]:
    with watching(server.process.pid) as one:
        yield one
    print(f"\n{one}")
    assert one.peak < MOST_RESIDENT, one


def connect(port: int, seconds: float = 60) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), seconds)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return bytes(received)


def test_a_million_chunks_of_one_byte(server: MunimentServer, watch: Watch) -> None:
    line = b"x" * 99 + b"\n"
    with connect(server.port) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in line)
        for _ in range(MILLION // len(line)):
            client.sendall(pieces)
        client.sendall(b"0\r\n\r\n")
        told = answer(client)

    assert told.startswith(b"HTTP/1.1 201 "), told[:500]
    stored = [split_entry(entry)[1] for entry in server.stored()]
    assert stored == [line[:-1]] * (MILLION // len(line))


def test_a_million_frames_of_syslog_over_tcp(server: MunimentServer, watch: Watch) -> None:
    with connect(server.syslog_port) as client:
        for start in range(0, MILLION, 10_000):
            frames = (b"<13>%d" % number for number in range(start, start + 10_000))
            client.sendall(b"".join(b"%d %s" % (len(frame), frame) for frame in frames))

    wait_for(lambda: server.shard()["size"] >= MILLION, "a million entries", 120)

    stored = [split_entry(entry)[1] for entry in server.stored()]
    assert stored == [b"<13>%d" % number for number in range(MILLION)]
    server.wait_indexed(180)
    counted = server.sql("SELECT count(*), count(DISTINCT raw_data) FROM events")
    assert counted == [[MILLION, MILLION]]


def test_syslog_frames_that_are_none(server: MunimentServer, watch: Watch) -> None:
    broken = {
        "a count beyond any entry": b"99999999 <13>x",
        "a count without end": b"1" * 100_000,
        "a line without end": b"<13>" + b"x" * 5_000_000,
        "a frame cut short": b"100 <13>only this",
        "rubbish": bytes(range(256)) * 40,
        "empty lines": b"\n" * 10_000,
        "TLS": bytes.fromhex("1603010200010001fc0303"),
    }
    for sent in broken.values():
        with contextlib.suppress(ConnectionError), connect(server.syslog_port) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer(client)
    with connect(server.syslog_port) as client:
        client.sendall(b"<13>a good line\n")
    wait_for(
        lambda: any(split_entry(e)[1].endswith(b"<13>a good line") for e in server.stored()),
        "the good line behind the bad ones",
    )


def test_datagrams_of_every_size(server: MunimentServer, watch: Watch) -> None:
    sizes = [1, 2, 480, 1_024, 8_192, 32_768, 65_000]
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for size in sizes:
            sender.sendto(b"<13>".ljust(size, b"u")[:size], ("127.0.0.1", server.syslog_port))
        sender.sendto(b"", ("127.0.0.1", server.syslog_port))

    wait_for(lambda: server.shard()["size"] >= len(sizes), "the datagrams")

    stored = [split_entry(entry)[1] for entry in server.stored()]
    assert [len(raw) for raw in stored if raw] == sizes


def test_connections_that_say_nothing_end(server: MunimentServer, watch: Watch) -> None:
    """Half open, half a header, half a body: each is closed, and meanwhile others are served."""
    starts = [
        b"",
        b"POST /api/v1/logs/default/entries HTTP/1.1\r\nHost: 1",
        HEAD + b"Content-Length: 1000\r\n\r\nhalf",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nha",
    ]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(4 * 25)]
        for number, client in enumerate(clients):
            client.sendall(starts[number % len(starts)])
        assert server.accepted(b"meanwhile")["first"] == 0
        told = [answer(client) for client in clients]  # each comes to an end

    assert all(not text or text.startswith(b"HTTP/1.1 4") for text in told), set(told)
    assert server.shard()["size"] == 1


def test_a_slow_loris_is_cut_off(server: MunimentServer, watch: Watch) -> None:
    """One byte now and then does not keep a connection alive, in the header or in the body."""
    for head in (
        b"POST /api/v1/logs/default/entries HTTP/1.1\r\n",
        HEAD + b"Content-Length: 9999\r\n\r\n",
    ):
        with connect(server.port) as client:
            client.sendall(head)
            client.setblocking(False)
            wait_for(lambda c=client: drip(c), "the server to cut off the slow client", 60)


def drip(client: socket.socket) -> bool:
    """Sends one byte; says whether the other side has closed."""
    time.sleep(0.2)
    try:
        client.send(b"a")
        data = client.recv(4_096)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return data == b"" or data.startswith(b"HTTP/1.1 4")


def test_huge_headers_are_refused(server: MunimentServer, watch: Watch) -> None:
    with connect(server.port) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for number in range(4_000):
            client.sendall(b"X-%d: %s\r\n" % (number, b"h" * 8_000))
        client.sendall(b"\r\n")
        assert answer(client)[:10] in (b"", b"HTTP/1.1 4")


def test_requests_that_are_no_http(server: MunimentServer, watch: Watch) -> None:
    for sent in (b"\0" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\0", b"GET / HTTP/9.9\r\n\r\n"):
        with connect(server.port) as client, contextlib.suppress(ConnectionError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert answer(client)[:10] in (b"", b"HTTP/1.1 4", b"HTTP/1.1 5"), sent


def test_hostile_bytes_are_taken_as_they_are(server: MunimentServer) -> None:
    """The log keeps bytes; what they mean is for others to say."""
    lines = [b"\xff\xfe\x00", b"</script>", b"\x1b[2J", b"", b"\r", "☃".encode(), b"a" * 60_000]
    first = server.accepted(b"\n".join(lines) + b"\n")["first"]
    stored = [split_entry(entry)[1] for entry in server.stored(first)]
    assert stored == lines
