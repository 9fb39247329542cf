"""The forward protocol as real clients speak it: modes, keys, TLS, kills, and what no client does.

fluent-logger-golang sends a chunk again, with its id, until it is acknowledged; @fluent-org/logger
speaks every mode, TLS and the handshake; Python's fluent-logger asks for no acknowledgement.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

from muniment.trust.directory import verify_directory
from tests.authority import Authority

from .harness import npm
from .harness.memory import MIB, watching
from .harness.process import Process, free_port
from .harness.programs import go_program
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

MODES = ("Message", "Forward", "PackedForward", "CompressedPackedForward")
NODE = "@fluent-org/logger@1.0.10"
KILLS, LINES, CLIENTS, SEED = 4, 2_000, 3, 20_261_121
MOST_RESIDENT = 400 * MIB

PLAIN = """
[[receive]]
protocol = "forward"
listen = "127.0.0.1:{port}"
max_connections = 1200
idle = 600
"""
LOCKED = """
[[receive]]
protocol = "forward"
listen = "127.0.0.1:{port}"
shared_key = "between us"
users = {{ ann = "wonder" }}
hostname = "muniment.test"
tls_certificate = "{certificate}"
tls_key = "{key}"
"""


@dataclass(frozen=True)
class Receiver:
    """A server and the port of its forward listener."""

    server: MunimentServer
    port: int

    def received(self, via: str = "forward") -> list[tuple[dict[str, Any], bytes]]:
        """Header and bytes of all that came over a protocol, in order."""
        split = [split_entry(entry) for entry in self.server.stored()]
        found = [(json.loads(header), raw) for header, raw in split]
        return [(header, raw) for header, raw in found if header["via"] == via]

    def events(self) -> list[list[Any]]:
        """Tag, time and record of all entries, the time in nanoseconds."""
        return [msgpack.unpackb(raw, ext_hook=_time) for _, raw in self.received()]

    def messages(self) -> list[str]:
        return [record["message"] for _, _, record in self.events()]

    def refusals(self) -> list[str]:
        """Why something was refused, as the log says it."""
        own = [json.loads(raw) for _, raw in self.received("muniment")]
        return [record["reason"] for record in own if record["action"] == "forward.refused"]

    def number(self, name: str) -> int:
        """A number of the receiver on the metrics page."""
        start = f'muniment_receive_{name}{{receiver="forward:{self.port}"}} '
        for line in self.server.http.get("/metrics").text.splitlines():
            if line.startswith(start):
                return int(float(line.removeprefix(start)))
        raise AssertionError(f"no {start} among the metrics")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)


def _time(code: int, data: bytes) -> int:
    assert (code, len(data)) == (0, 8)
    return int.from_bytes(data[:4], "big") * 10**9 + int.from_bytes(data[4:], "big")


@contextlib.contextmanager
def receiving(directory: Path, config: str = PLAIN, **values: object) -> Iterator[Receiver]:
    port = free_port()
    with serving(directory, config=config.format(port=port, **values)) as server:
        yield Receiver(server, port)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path) as one:
        yield one


def run_node(receiver: Receiver, directory: Path, mode: str, count: int, *more: str) -> str:
    """Logs with @fluent-org/logger; returns what it printed when it ended."""
    modules = npm.installed(NODE)
    arguments = [str(receiver.port), mode, str(count), *more]
    output = directory / f"node-{mode}-{len(more)}.txt"
    process = npm.node("forward_logger.js", modules, output, *arguments)
    try:
        wait_for(lambda: not process.running, lambda: process.printed() or "the logger to end")
    finally:
        process.end_group()
    return process.printed()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_arrives_once_and_is_acknowledged(
    receiver: Receiver, tmp_path: Path, mode: str
) -> None:
    assert run_node(receiver, tmp_path, mode, 500) == "acknowledged\n"
    assert Counter(receiver.messages()) == Counter(f"{mode} {n} ä" for n in range(500))
    headers = [header for header, _ in receiver.received()]
    assert {tag for tag, _, _ in receiver.events()} == {f"edge.{mode}"}
    assert all(header["as"] == "forward" and header["id"] for header in headers)
    assert len({header["id"] for header in headers}) == receiver.number("acknowledged_total")
    now = time.time()
    assert all(abs(at / 10**9 - now) < 600 for _, at, _ in receiver.events())


def test_events_are_found_by_search(receiver: Receiver, tmp_path: Path) -> None:
    run_node(receiver, tmp_path, "PackedForward", 20)
    receiver.server.wait_indexed()
    found = receiver.server.rows("via:forward")
    assert {row["message"] for row in found} == {f"PackedForward {n} ä" for n in range(20)}


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Receiver]:
    issued = Authority(tmp_path).server()
    values = {"certificate": issued.certificate, "key": issued.key}
    with receiving(tmp_path, LOCKED, **values) as one:
        yield one


def test_a_shared_key_and_a_user_over_tls(locked: Receiver, tmp_path: Path) -> None:
    ca = str(tmp_path / "authority.pem")
    told = run_node(locked, tmp_path, "Forward", 50, ca, "between us", "ann", "wonder")
    assert told == "acknowledged\n"
    assert len(locked.messages()) == 50
    assert {header["from"] for header, _ in locked.received()} == {"user:ann"}


@pytest.mark.parametrize(
    ("key", "user", "password", "why"),
    [
        ("a guess", "ann", "wonder", "shared_key mismatch"),
        ("between us", "ann", "a guess", "username/password mismatch"),
        ("between us", "eve", "wonder", "username/password mismatch"),
    ],
)
def test_who_does_not_know_the_words_is_told_and_refused(
    locked: Receiver, tmp_path: Path, key: str, user: str, password: str, why: str
) -> None:
    ca = str(tmp_path / "authority.pem")
    assert why in run_node(locked, tmp_path, "Forward", 5, ca, key, user, password)
    wait_for(locked.refusals, "the refusal in the log")
    assert set(locked.refusals()) == {why}
    assert locked.received() == []
    assert locked.number("unauthenticated_total") == locked.number("rejected_total") >= 1


def test_kills_in_mid_stream_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """The client sends what was not acknowledged again, with the same id, to the new process."""
    program, random = go_program("fluent-logger-golang"), Random(SEED)
    with receiving(tmp_path) as receiver:
        clients = [
            Process(
                [str(program), str(receiver.port), f"edge{number}", str(LINES)],
                tmp_path / f"go-{number}.txt",
            )
            for number in range(CLIENTS)
        ]
        try:
            for kill in range(KILLS):
                goal = LINES * (kill + 1) // (KILLS + 2)
                wait_for(lambda goal=goal: progress(clients) >= goal, f"{goal} lines", 120)
                time.sleep(random.uniform(0, 0.05))
                receiver.server.kill()
                receiver.server.start()
            wait_for(
                lambda: not any(client.running for client in clients),
                lambda: f"all lines; there are {[c.printed()[-300:] for c in clients]}",
                120,
            )
        finally:
            for client in clients:
                client.end_group()
        expected = [f"edge{number} {line}" for number in range(CLIENTS) for line in range(LINES)]
        assert Counter(receiver.messages()) == Counter(expected)
        assert progress(clients) == LINES
        for client in range(CLIENTS):
            mine = [line for line in receiver.messages() if line.startswith(f"edge{client} ")]
            assert mine == [f"edge{client} {line}" for line in range(LINES)]
        receiver.server.stop()
        report = verify_directory(receiver.server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def progress(clients: list[Process]) -> int:
    """How many lines every client has been given an acknowledgement for."""
    return min(client.printed().count("acknowledged") for client in clients)


def test_a_chunk_that_is_sent_again_adds_nothing_also_after_a_kill(receiver: Receiver) -> None:
    events = b"".join(msgpack.packb([n, {"message": f"line {n}"}]) for n in range(300))
    chunk = msgpack.packb(["edge", events, {"chunk": "the same"}])
    for attempt in range(4):
        with receiver.connect() as client:
            client.sendall(chunk)
            assert client.recv(100) == msgpack.packb({"ack": "the same"})
        if attempt == 1:
            receiver.server.kill()
            receiver.server.start()
    assert receiver.messages() == [f"line {n}" for n in range(300)]
    with receiver.connect() as client:
        client.sendall(msgpack.packb(["edge", 1, {"message": "other"}, {"chunk": "the same"}]))
        assert client.recv(100) == msgpack.packb({"ack": "the same"})
    assert receiver.messages()[300:] == ["other"]
    assert receiver.number("conflicts_total") == 1


def test_a_thousand_identical_lines_stay_a_thousand(receiver: Receiver) -> None:
    sender = pytest.importorskip("fluent.sender", reason="fluent-logger is not installed")
    logger = sender.FluentSender("edge", host="127.0.0.1", port=receiver.port)
    for _ in range(1_000):
        assert logger.emit_with_time("access", 1_795_000_000, {"message": "GET / 200"})
    logger.close()
    wait_for(lambda: receiver.server.shard()["size"] >= 1_000, "a thousand lines")
    assert receiver.messages() == ["GET / 200"] * 1_000
    assert receiver.refusals() == []


def test_a_restart_in_the_ordinary_way_loses_nothing_that_was_sent(receiver: Receiver) -> None:
    with receiver.connect() as client:
        for number in range(5_000):
            client.sendall(msgpack.packb(["edge", 1, {"message": str(number)}]))
        wait_for(lambda: receiver.number("messages_total") > 0, "the first message")
        receiver.server.restart()
    assert receiver.messages() == [str(number) for number in range(5_000)]


def test_hostile_senders_are_bounded_counted_and_told(receiver: Receiver) -> None:
    """Garbage, a line of 100 MB, bombs, depth, a slow sender, a thousand that say nothing."""
    zeros = gzip.compress(bytes(1 << 30), 1)
    tiny = gzip.compress(b"\x92\x00\x80" * 30_000_000, 1)
    hostile = {
        "HTTP was spoken": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "TLS was spoken": bytes.fromhex("1603010200010001fc0303"),
        "no message begins with": bytes(range(0x80, 0x90)) * 100,
        "a message of more than": b"\x92\xa4edge\xdb" + (100_000_000).to_bytes(4, "big"),
        "a tag of more than": b"\x92\xdb" + (100_000_000).to_bytes(4, "big"),
        "not msgpack: nested": b"\x93\xa4edge\x00" + b"\x91" * 1_000_000,
        "the body unpacks to more": msgpack.packb(["edge", zeros, {"compressed": "gzip"}]),
        "the events of a message take": msgpack.packb(["edge", tiny, {"compressed": "gzip"}]),
        "the events are cut short": msgpack.packb(["edge", b"\x92\x00", {"chunk": "c"}]),
        "metrics are no logs": msgpack.packb(["edge", b"", {"fluent_signal": 1, "chunk": "c"}]),
    }
    del zeros, tiny
    with contextlib.ExitStack() as stack, watching(receiver.server.process.pid) as watch:
        idle = [stack.enter_context(receiver.connect()) for _ in range(1_000)]
        slow = stack.enter_context(receiver.connect())
        slow.sendall(b"\x92\xa4edge\xc6" + (20_000_000).to_bytes(4, "big"))
        for sent in hostile.values():
            assert talk(receiver, sent) == b""
            slow.sendall(b"x" * 100)
            assert talk(receiver, chunk_of("meanwhile"), 15) == msgpack.packb({"ack": "meanwhile"})
        with receiver.connect() as endless, contextlib.suppress(ConnectionError):
            endless.sendall(b"\x93\xa4edge\x00\xdd\xff\xff\xff\xff")
            for _ in range(100):
                endless.sendall(b"\xc0" * MIB)
        wait_for(lambda: len(receiver.refusals()) > len(hostile), "the refusals in the log")
        assert receiver.number("connections") >= 1_001
        del idle
    print(f"\n{watch}")
    assert watch.peak < MOST_RESIDENT, watch
    told = receiver.refusals()
    for reason in hostile:
        assert any(why.startswith(reason) for why in told), (reason, told)
    assert set(receiver.messages()) == {"meanwhile"}


def chunk_of(name: str) -> bytes:
    return bytes(msgpack.packb(["edge", 1, {"message": name}, {"chunk": name}]))


def talk(receiver: Receiver, sent: bytes, most: int = 0) -> bytes:
    """Sends bytes; returns `most` bytes of the answer, or all until the other side closes."""
    with receiver.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(sent)
        received = client.recv(most or 65_536)
        while received and len(received) < most:
            received += client.recv(most - len(received))
        return received
    return b""


def test_a_heartbeat_over_udp_is_answered(receiver: Receiver) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(b"\0", ("127.0.0.1", receiver.port))
        assert client.recvfrom(100) == (b"\0", ("127.0.0.1", receiver.port))
