"""A Muniment of its own for a measurement, in a directory that goes with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 30.0


@dataclass
class Server:
    """A running server: its address, its data directory, its process."""

    port: int
    data: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The server's base address."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> dict[str, object]:
        """Returns the JSON answer to a GET."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return dict(json.load(answer))

    def load(
        self, connections: int, requests: int, size: int, *, dense: bool = False
    ) -> dict[str, float]:
        """Runs the load generator against this server and returns what it measured."""
        path = "/api/v1/logs/default/entries?as=json"
        numbers = [str(n) for n in (self.port, connections, requests, size, int(dense))]
        command = [sys.executable, "-m", "bench.load", path, "127.0.0.1", *numbers]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return dict(json.loads(done.stdout))

    def resident(self) -> dict[str, int]:
        """Returns the resident bytes of the server and of its query process."""
        sizes = {"server": _resident(self.process.pid)}
        for child in self.children():
            sizes["query"] = sizes.get("query", 0) + _resident(child)
        return sizes

    def children(self) -> list[int]:
        """Returns the process ids of the query process."""
        root = self.process.pid
        return [int(n) for n in Path(f"/proc/{root}/task/{root}/children").read_text().split()]


def _resident(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serve(data: Path, config: str = "") -> Iterator[Server]:
    """Starts `muniment serve` on a free loopback port, and stops it in the end.

    `config` is the text of a settings file.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "muniment", "serve", "--data", str(data)]
    command += ["--listen", f"127.0.0.1:{port}", "--syslog", "off"]
    if config:
        file = data.with_suffix(".toml")
        file.write_text(config)
        command += ["--config", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    server = Server(port, data, process)
    try:
        _wait(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.get("/readyz")
            return
        except (urllib.error.URLError, ConnectionError) as error:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise RuntimeError("the server did not become ready") from error
            time.sleep(0.05)
