"""A peer's server on a loopback port, stopped in the end whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0


def free_port() -> int:
    """Returns a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], folder: Path, port: int, **variables: str) -> Iterator[None]:
    """Runs a server until the block ends. What it prints is in `folder`/printed."""
    printed = folder / "printed"
    with printed.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **variables}, stdout=sink, stderr=sink
        )
    try:
        _listening(process, port, printed)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(process: subprocess.Popen[bytes], port: int, printed: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                told = printed.read_text(errors="replace")[-500:]
                raise RuntimeError(f"the server did not start: {told}") from error
            time.sleep(0.05)
