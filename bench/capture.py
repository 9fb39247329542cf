"""The agent alone: how many lines a core tails, chains, spools and ships, and what memory it takes.

    python -m bench.capture [--lines N]

writes a log file of N lines, lets an agent follow it from its beginning and ship it to a sink that
acknowledges everything, and measures the agent's own processor time. Beside it stands what a plain
Python loop over the lines of the same file takes in the same run, which keeps and sends nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import zstandard

from bench.lines import line
from muniment.capture.parcel import decode

CONFIG = """\
name = "bench"
endpoints = ["http://127.0.0.1:{port}"]
state = "state"

[[tail]]
name = "access"
as = "json"
paths = ["access.log"]
"""


class Sink(ThreadingHTTPServer):
    """Acknowledges parcels and counts their records of the source `json`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.records = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        parcel = decode(zstandard.ZstdDecompressor().decompress(body, max_output_size=1 << 26))
        answer = json.dumps({"count": len(parcel.records), "receipt": "none"}).encode()
        self.send_response(201)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if parcel.source == "json":
            assert isinstance(self.server, Sink)
            self.server.records += len(parcel.records)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is said."""


def plain_loop(path: Path) -> float:
    """Returns the processor seconds of a loop that reads lines and does nothing with them."""
    began = time.process_time()
    count = 0
    with path.open("rb") as file:
        for _line in file:
            count += 1
    return time.process_time() - began


def processor_seconds(pid: int) -> float:
    """Returns what a process has used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """Returns the largest resident set that a process had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(lines: int, scratch: Path) -> dict[str, float]:
    """Runs one agent over a file of so many lines."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        directory = Path(name)
        log = directory / "access.log"
        draft = directory / "draft"
        size = write_log(draft, lines)
        sink = Sink()
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        config = directory / "capture.toml"
        config.write_text(CONFIG.format(port=sink.server_address[1]))
        command = [sys.executable, "-m", "muniment", "capture", "run", "--config", str(config)]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            time.sleep(1.0)
            idle = processor_seconds(agent.pid)
            draft.rename(log)
            began = time.monotonic()
            while sink.records < lines:
                assert agent.poll() is None, "the agent ended"
                time.sleep(0.01)
            seconds = time.monotonic() - began
            busy = processor_seconds(agent.pid) - idle
            peak = peak_mib(agent.pid)
            plain = plain_loop(log)
        finally:
            agent.terminate()
            agent.wait(30)
            sink.shutdown()
    return {
        "lines": lines,
        "bytes_per_line": size / lines,
        "lines_per_core_second": lines / busy,
        "lines_per_second": lines / seconds,
        "plain_loop_lines_per_core_second": lines / plain,
        "ratio": plain / busy,
        "peak_mib": peak,
    }


def write_log(path: Path, lines: int) -> int:
    """Writes a file of so many lines, and returns its size."""
    dice = random.Random(1)
    some = [line(number, dice) + b"\n" for number in range(min(lines, 20_000))]
    with path.open("wb") as file:
        for begin in range(0, lines, len(some)):
            file.write(b"".join(some[: lines - begin]))
    return path.stat().st_size


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.lines, arguments.scratch), indent=2))


if __name__ == "__main__":
    main()
