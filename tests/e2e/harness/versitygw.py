"""versitygw, a second real S3 server: objects are files, locks and versions their attributes.

Built from the Go module proxy (1.8.0; 93 seconds of wall time on two idle cores, 100 of CPU, with
the modules at hand; 7 more to get them).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .process import Process, free_port
from .programs import go_program
from .s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
COST = "100 seconds of CPU"


class VersityGateway(S3Server):
    """A gateway over a folder."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._program, self._directory = program, directory
        self._process: Process | None = None
        for name in ("buckets", "versions"):
            (directory / name).mkdir()

    def start(self) -> None:
        """Starts it (again) and waits until it listens."""
        command = [str(self._program), "--port", f"127.0.0.1:{self.port}", "--region", REGION]
        command += ["--quiet", "--keep-alive", "posix"]
        command += ["--versioning-dir", str(self._directory / "versions")]
        self._process = Process(
            [*command, str(self._directory / "buckets")],
            self._directory / "versitygw.out",
            {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY},
        )
        self._process.wait_listening(self.port)

    def stop(self) -> None:
        """Ends it; what it stored stays."""
        if self._process is not None:
            self._process.stop()
            self._process = None


@contextlib.contextmanager
def versity_gateway(directory: Path) -> Iterator[VersityGateway]:
    """A gateway of its own; skips where it cannot be built or files have no attributes."""
    program = go_program("versitygw", heavy=COST, package=PACKAGE)
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        try:
            os.setxattr(file.name, "user.muniment", b"1")
        except OSError:
            pytest.skip("the temporary folder keeps no extended attributes: versitygw needs them")
    gateway = VersityGateway(program, directory)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
