"""What NGINX counted (stub_status) and no entry tells of, while its access log comes by syslog."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from .harness.agent import Agent
from .harness.backend import Backend
from .harness.load import ab, exchange, find, request
from .harness.process import Process, free_port
from .harness.server import MunimentServer, serving
from .harness.waiting import wait_for
from .test_completeness import SETTINGS, Forwarder, count, missing, records

CONFIG = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 200; }}
http {{
  access_log syslog:server=127.0.0.1:{syslog} combined;
  server {{
    listen 127.0.0.1:{web};
    location / {{ proxy_pass http://127.0.0.1:{app}; }}
    location = /closed {{ return 444; }}
  }}
  server {{
    listen 127.0.0.1:{status};
    access_log off;
    location / {{ stub_status; }}
  }}
}}
"""
SECTION = """
[[nginx]]
name = "edge"
every = 0.5
config = "{directory}/nginx.conf"
prefix = "{directory}"
binary = "{binary}"
status = "http://127.0.0.1:{status}/"
"""


@contextlib.contextmanager
def counted(directory: Path, server: MunimentServer, syslog: int) -> Iterator[int]:
    """An NGINX with an agent that has looked once; yields its port."""
    binary, backend = find("nginx", "nginx"), Backend()
    web, status = free_port(), free_port()
    config = directory / "nginx.conf"
    config.write_text(
        CONFIG.format(directory=directory, syslog=syslog, web=web, status=status, app=backend.port)
    )
    arguments = ["-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
    process = Process([binary, *arguments], directory / "nginx.txt", {"TZ": "UTC"})
    section = SECTION.format(directory=directory, binary=binary, status=status)
    agent = Agent(directory / "agent", server.url, section)
    try:
        process.wait_listening(web)
        time.sleep(1)  # so that the first look is a quiet one
        agent.start()
        wait_for(lambda: server.search("source:counters")["rows"], "the first look")
        time.sleep(2.5)  # times are whole seconds
        yield web
    finally:
        agent.close()
        process.end_group()
        backend.close()


def odd_requests(port: int) -> int:
    """Does what is no ordinary request; returns how many lines NGINX writes of it."""
    for sent in (b"", b"GET / HT", b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65_536):
                pass
    with contextlib.suppress(OSError):
        exchange(port, request("/closed"))
    return 4


def test_datagrams_that_vanish_are_a_gap_of_as_many(tmp_path: Path) -> None:
    with serving(tmp_path, config=SETTINGS.format(grace=3)) as server, contextlib.ExitStack() as on:
        way = Forwarder(server.syslog_port)
        on.callback(way.close)
        port = on.enter_context(counted(tmp_path, server, way.port))
        url = f"http://127.0.0.1:{port}/"

        lines = ab(url, 200) + odd_requests(port)
        pid = int((tmp_path / "nginx.pid").read_text())
        os.kill(pid, signal.SIGHUP)
        lines += ab(url, 100)
        found = "class:http metadata.log_name:access"
        wait_for(lambda: len(list(server.rows(found))) == lines, "every line")
        time.sleep(12)
        assert records(server) == []

        way.dropping = 70
        assert ab(url, 200) == 200
        wait_for(lambda: missing(server) >= 70, lambda: f"a gap of 70: {records(server)}", 60)
        time.sleep(5)
        assert missing(server) == 70
        assert count(server) >= 430
