"""A real HAProxy in front of the tiny backend, logging to Muniment."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .backend import Backend
from .capture import Capture
from .certificate import write_certificate
from .load import find
from .process import Process, free_port

CONFIG = Path(__file__).parents[1] / "configs" / "haproxy.cfg"
FRONTENDS = ("web", "plain", "lax", "secure", "raw", "rawdead", "json", "clf")


@dataclass
class HAProxy:
    """A running HAProxy: where its frontends listen and what it logged."""

    process: Process
    ports: dict[str, int]
    capture: Capture
    trust: Path

    def url(self, frontend: str, path: str) -> str:
        """Returns the address of a path behind a frontend."""
        scheme = "https" if frontend == "secure" else "http"
        return f"{scheme}://127.0.0.1:{self.ports[frontend]}{path}"


@contextlib.contextmanager
def haproxy(directory: Path, syslog_port: int) -> Iterator[HAProxy]:
    """HAProxy with all frontends of configs/haproxy.cfg; it is gone afterwards."""
    command = find("haproxy", "haproxy")
    backend, capture = Backend(), Capture()
    ports = {frontend: free_port() for frontend in FRONTENDS}
    trust = write_certificate(directory)
    env = {
        **{frontend.upper(): str(port) for frontend, port in ports.items()},
        "SYSLOG": str(syslog_port),
        "CAPTURE": str(capture.port),
        "APP": str(backend.port),
        "DEAD": str(free_port()),
        "PEM": str(trust),
        "SOCKET": str(directory / "admin.sock"),
        "TZ": "UTC",
    }
    process = Process([command, "-db", "-f", str(CONFIG)], directory / "haproxy.txt", env)
    try:
        process.wait_listening(ports["web"])  # a probe that `dontlognull` keeps out of the logs
        yield HAProxy(process, ports, capture, trust)
    finally:
        process.end_group()
        capture.close()
        backend.close()


def version() -> str:
    """Returns the first line of `haproxy -v`."""
    done = subprocess.run(
        [find("haproxy", "haproxy"), "-v"], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.splitlines()[0]
