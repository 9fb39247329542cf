"""`muniment serve`, as a process: what it says, what it answers, how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_parts import eventually

SERVE = [sys.executable, "-m", "muniment", "serve", "--listen", "127.0.0.1:0"]
LISTENING = re.compile(r"Muniment is listening on (http://127\.0\.0\.1:(\d+))")
TOKEN = re.compile(r"mun_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


class Process:
    """A server in a directory, and what it has said."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*SERVE, *options], cwd=directory, stdout=subprocess.PIPE, text=True
        )
        self.said = ""

    def until(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Reads on until it has said something of this form."""
        assert self.process.stdout is not None
        while not (found := pattern.search(self.said)):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=60)
        self.said += rest
        return self.process.returncode


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    """Servers that are ended after the test."""
    found: list[Process] = []
    yield found
    for process in found:
        process.process.kill()
        process.process.wait(60)


def test_a_first_start_says_where_it_is_and_shows_its_token_once(
    tmp_path: Path, started: list[Process]
) -> None:
    first = Process(tmp_path, "--syslog", "127.0.0.1:0")
    started.append(first)
    url = first.until(LISTENING)[1]
    host, port = first.until(re.compile(r"syslog: (\S+):(\d+) \(UDP and TCP\)")).groups()
    first.until(re.compile(r"data: (\S+)"))
    assert "muniment-data" in first.said
    token = TOKEN.search(first.said)
    assert token

    headers = {"authorization": f"Bearer {token[0]}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        with socket.create_connection((host, int(port))) as sender:
            sender.sendall(b"<13>over TCP\n")
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<13>over UDP", (host, int(port)))

        def size() -> int:
            found: int = client.get("/api/v1/logs").json()["logs"][0]["shards"][0]["size"]
            return found

        eventually(lambda: size() == 2)
        eventually(lambda: client.get("/readyz").json()["search"]["ok"])
        assert client.get("/api/v1/logs", headers={"authorization": "Bearer x"}).status_code == 401
    assert first.end() == 0
    assert len(TOKEN.findall(first.said)) == 1

    second = Process(tmp_path, "--syslog", "off")
    started.append(second)
    second.until(re.compile("data: "))
    assert "syslog: off" in second.said
    assert second.end() == 0
    assert not TOKEN.search(second.said)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--syslog", "0.0.0.0:0"], "syslog"),
        (["--listen", "0.0.0.0:0"], "--serve-without-tls-and-tokens"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--listen", "here"], "listen"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path, options: list[str], named: str
) -> None:
    ended = subprocess.run(
        [*SERVE, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "muniment-data").exists()


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [*SERVE, "--listen", address, "--syslog", "off"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert ended.returncode == 2
    assert f"cannot listen on {address}" in ended.stderr
    assert "Traceback" not in ended.stderr
