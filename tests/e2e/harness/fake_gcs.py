"""fake-gcs-server, an emulator of Google Cloud Storage in Go: on loopback, in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .process import Process, free_port
from .programs import go_program

PACKAGE = "github.com/fsouza/fake-gcs-server"


@contextlib.contextmanager
def fake_gcs(directory: Path) -> Iterator[str]:
    """Runs it until the end of the block, and gives its URL; skips where it cannot be built."""
    program = go_program("fake-gcs-server", package=PACKAGE)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    options += ["-external-url", url, "-public-host", f"127.0.0.1:{port}", "-log-level", "warn"]
    process = Process([str(program), *options], directory / "fake-gcs-server.log")
    try:
        process.wait_listening(port, 60)
        yield url
    finally:
        process.stop()
