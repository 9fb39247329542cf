"""What HAProxy counted and no entry tells of: found, and recorded, exactly and once.

Counters come from the agent, log lines from HAProxy itself: by UDP, which loses them, and from its
ring, which throws them away while `DroppedLogs` stays 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness.agent import Agent
from .harness.backend import Backend
from .harness.cli import muniment
from .harness.load import ab, exchange, find, request
from .harness.process import Process, free_port
from .harness.server import MunimentServer, serving
from .harness.waiting import wait_for

SETTINGS = "completeness_interval = 0.5\ncompleteness_grace = {grace}\n"
OWN = "via:muniment source:muniment action:completeness.*"
CONFIG = """
global
  maxconn 400
  log {log} len 8192 format {format} local0 info
  stats socket {socket} mode 600 level admin

{ring}

defaults
  log global
  mode http
  option dontlognull
  timeout connect 2s
  timeout client 30s
  timeout server 30s

frontend web
  bind 127.0.0.1:{web}
  option httplog
  monitor-uri /monitor
  http-request redirect location /elsewhere if {{ path /moved }}
  http-request deny if {{ path /denied }}
  default_backend app

backend app
  server app1 127.0.0.1:{app}
"""
RING = """
ring muniment
  format rfc5424
  maxlen 8192
  size {size}
  timeout connect 2s
  timeout server 10s
  server one 127.0.0.1:{syslog} log-proto octet-count
"""
HAPROXY = """
[[haproxy]]
name = "edge"
every = 0.5
socket = "{socket}"
files = ["{config}"]
"""


class Forwarder:
    """Hands datagrams on, but for those that are to vanish."""

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port = int(self._socket.getsockname()[1])
        self.dropping = self.dropped = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                data = self._socket.recv(65_535)
                if self.dropping:
                    self.dropping -= 1
                    self.dropped += 1
                else:
                    self._socket.sendto(data, self._target)

    def close(self) -> None:
        self._closed.set()
        self._thread.join(5)
        self._socket.close()


class Balancer:
    """HAProxy with one frontend, in master-worker mode, so that it can be reloaded."""

    def __init__(self, directory: Path, log: str, ring: str = "") -> None:
        self.port, self.socket = free_port(), directory / "admin.sock"
        self._backend = Backend()
        config = directory / "haproxy.cfg"
        config.write_text(
            CONFIG.format(
                log=log,
                ring=ring,
                format="rfc5424" if ring else "rfc3164",
                socket=self.socket,
                web=self.port,
                app=self._backend.port,
            )
        )
        command = [find("haproxy", "haproxy"), "-W", "-db", "-f", str(config)]
        self.process = Process(command, directory / "haproxy.txt", {"TZ": "UTC"})
        self.process.wait_listening(self.port)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def reload(self) -> None:
        """As `systemctl reload haproxy` does it; returns once there is another worker."""
        before = self.told("Pid")
        os.kill(self.process.pid, signal.SIGUSR2)
        wait_for(lambda: self.told("Pid") not in ("", before), "another worker")

    def told(self, name: str) -> str:
        """Returns what `show info` says."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(5)
            asked.connect(str(self.socket))
            asked.sendall(b"show info\n")
            answer = b"".join(iter(lambda: asked.recv(65_536), b"")).decode()
            pairs = (line.partition(": ") for line in answer.splitlines())
            return {key: value for key, _, value in pairs}.get(name, "")
        return ""

    def close(self) -> None:
        self.process.end_group()
        self._backend.close()


@contextlib.contextmanager
def balancing(directory: Path, log: str, ring: str = "") -> Iterator[Balancer]:
    balancer = Balancer(directory, log, ring)
    try:
        yield balancer
    finally:
        balancer.close()


@contextlib.contextmanager
def capturing(directory: Path, server: MunimentServer, balancer: Balancer) -> Iterator[Agent]:
    """The agent, which looks at the counters; it has looked once before anything is served."""
    section = HAPROXY.format(socket=balancer.socket, config=directory / "haproxy.cfg")
    agent = Agent(directory / "agent", server.url, section)
    time.sleep(1)  # so that the first look is a quiet one
    agent.start()
    try:
        wait_for(lambda: server.search("source:counters")["rows"], "the first look")
        time.sleep(1)
        yield agent
    finally:
        agent.close()


def records(server: MunimentServer) -> list[dict[str, Any]]:
    """What completeness recorded, oldest first."""
    rows = server.search(OWN, limit=500, order="oldest")["rows"]
    return [json.loads(row["raw_data"]) for row in rows]


def missing(server: MunimentServer) -> int:
    """What is missing by the records."""
    found = records(server)
    gaps = sum(one["missing"] for one in found if one["action"] == "completeness.gap")
    return gaps - sum(one["arrived"] for one in found if one["action"] == "completeness.closed")


def count(server: MunimentServer) -> int:
    """How many requests have an entry."""
    rows = server.sql("SELECT count(*) FROM events WHERE http_request.url.path IS NOT NULL")
    return int(rows[0][0])


def everything(server: MunimentServer, served: int) -> None:
    """Waits until every request has its entry."""
    wait_for(lambda: count(server) == served, lambda: f"{served}, there are {count(server)}")


def settled(server: MunimentServer, served: int) -> dict[str, Any]:
    """Waits until all that was served has been compared with entries; returns the answer."""
    answer: dict[str, Any] = {}

    def compared() -> bool:
        answer.update(server.get("/api/v1/logs/default/completeness"))
        return any(
            one["name"] == "web" and one["served"] >= served and not one["problem"]
            for one in answer["instances"]
        )

    wait_for(compared, lambda: f"{served} served and compared, there is {answer}", 120)
    return answer


def test_a_hundred_lines_that_vanish_are_a_gap_of_a_hundred(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=2)) as server, contextlib.ExitStack() as on:
        way = Forwarder(server.syslog_port)
        on.callback(way.close)
        balancer = on.enter_context(balancing(tmp_path, f"127.0.0.1:{way.port}"))
        on.enter_context(capturing(tmp_path, server, balancer))
        assert ab(balancer.url("/before"), 400) == 400
        way.dropping = 100
        assert ab(balancer.url("/during"), 300) == 300
        assert ab(balancer.url("/after"), 400) == 400
        wait_for(lambda: way.dropped == 100, "a hundred datagrams to vanish")

        everything(server, 1_000)
        wait_for(lambda: missing(server) == 100, lambda: f"a gap of 100: {records(server)}", 120)

        told = records(server)  # in one piece, or in two where a look fell among them
        assert {one["action"] for one in told} <= {"completeness.gap", "completeness.closed"}
        for gap in (one for one in told if one["action"] == "completeness.gap"):
            assert gap["resource"] == "haproxy:edge/frontend/web"
            assert gap["served"] - gap["arrived"] == gap["missing"]
            assert f"{gap['missing']} missing" in gap["message"]
        row, *_ = server.rows(OWN)
        index, shard = row["index"], row["shard"]
        proved = server.http.get(f"/api/v1/logs/default/shards/{shard}/entries/{index}/proof")
        assert proved.status_code == 200
        server.restart()  # what was told is not told again
        exchange(balancer.port, request("/one"))
        answer = settled(server, 1_101)
        assert [one["missing"] for one in answer["instances"]] == [100]
        assert missing(server) == 100
        status, printed = muniment(
            "completeness", "--since", "1h", "--url", server.url, cwd=tmp_path
        )
        assert status == 1
        assert "100 missing" in printed or len(told) > 1


def test_what_an_overflowing_ring_throws_away_is_a_gap(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=4)) as server, contextlib.ExitStack() as on:
        ring = RING.format(size=1 << 20, syslog=server.syslog_port)
        balancer = on.enter_context(balancing(tmp_path, "ring@muniment", ring))
        on.enter_context(capturing(tmp_path, server, balancer))
        assert ab(balancer.url("/before"), 200) == 200
        wait_for(lambda: len(list(server.rows("path:/before"))) == 200, "lines from the ring")
        server.stop()
        path = "/away/" + "x" * 200
        assert ab(balancer.url(path), 6_000, 8) == 6_000
        server.start()
        assert ab(balancer.url("/after"), 100) == 100

        settled(server, 6_300)
        wait_for(lambda: missing(server) > 0, "a gap", 120)
        answer = wait_for(lambda: _still(server), "records that stay as they are", 120)

        there = count(server)
        assert missing(server) == 6_300 - there
        assert missing(server) > 1_000
        assert balancer.told("DroppedLogs") == "0"
        assert [one["missing"] for one in answer["instances"]] == [6_300 - there]


def _still(server: MunimentServer) -> dict[str, Any] | None:
    """The answer, once nothing was added for a while."""
    before = records(server)
    time.sleep(6)
    return server.get("/api/v1/logs/default/completeness") if records(server) == before else None


def test_no_gap_is_found_where_nothing_is_lost(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=8)) as server, contextlib.ExitStack() as on:
        ring = RING.format(size=4 << 20, syslog=server.syslog_port)
        balancer = on.enter_context(balancing(tmp_path, "ring@muniment", ring))
        agent = on.enter_context(capturing(tmp_path, server, balancer))
        served = 0
        for act in (
            lambda: None,
            balancer.reload,
            agent.kill,
            agent.start,
            server.restart,
            server.kill,
            server.start,
            balancer.reload,
        ):
            act()
            served += ab(balancer.url("/steady"), 300)
            if server.process.running:  # or what the kernel holds for it would be lost for good
                everything(server, served)
        wait_for(lambda: len(records(server)) >= 2, "both reloads to be seen", 120)
        time.sleep(10)
        found = records(server)
        assert {one["action"] for one in found} == {"completeness.unknown"}, found


def odd_requests(port: int) -> None:
    """Probes, monitors, bad and half requests, refusals: some have a line, some have none."""
    for sent in (b"", b"GET / HT", b"\x16\x03\x01 nonsense\r\n\r\n", request("/monitor")):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65_536):
                pass
    for path in ("/moved", "/denied", "/monitor"):
        exchange(port, request(path))


def test_what_has_no_line_is_not_missing(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=2)) as server, contextlib.ExitStack() as on:
        way = Forwarder(server.syslog_port)
        on.callback(way.close)
        balancer = on.enter_context(balancing(tmp_path, f"127.0.0.1:{way.port}"))
        on.enter_context(capturing(tmp_path, server, balancer))
        for _ in range(5):
            odd_requests(balancer.port)
        assert ab(balancer.url("/before"), 100) == 100
        settled(server, 100 + 5 * 3)
        time.sleep(8)
        assert records(server) == []
        way.dropping = 20
        assert ab(balancer.url("/during"), 50) == 50
        wait_for(lambda: missing(server) >= 20, lambda: f"a gap of 20: {records(server)}", 60)
        odd_requests(balancer.port)
        time.sleep(5)
        assert missing(server) == 20


def test_a_request_longer_than_the_grace_is_missing_until_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=1)) as server, contextlib.ExitStack() as on:
        balancer = on.enter_context(balancing(tmp_path, f"127.0.0.1:{server.syslog_port}"))
        on.enter_context(capturing(tmp_path, server, balancer))
        with socket.create_connection(("127.0.0.1", balancer.port), 5) as slow:
            slow.sendall(request("/s/200/9900/10"))
            wait_for(lambda: records(server), "a gap while the request is under way")
            slow.settimeout(30)
            assert slow.recv(1_000)
        wait_for(lambda: len(records(server)) == 2, lambda: f"two records: {records(server)}")
        acts = [one["action"] for one in records(server)]
        assert acts == ["completeness.gap", "completeness.closed"]
        assert missing(server) == 0
