"""A real NGINX in front of the tiny backend, logging to Muniment and into a file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .backend import Backend
from .capture import Capture
from .certificate import write_certificate
from .load import find
from .process import Process, free_port

CONFIG = Path(__file__).parents[1] / "configs" / "nginx.conf"
MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
SERVERS = ("combined", "json", "secure", "upstream", "stream")


@dataclass
class Nginx:
    """A running NGINX: where its servers listen and what it logged."""

    process: Process
    directory: Path
    ports: dict[str, int]
    app: str
    dead: str
    capture: Capture
    trust: Path

    def url(self, server: str, path: str) -> str:
        """Returns the address of a path of a server."""
        scheme = "https" if server == "secure" else "http"
        return f"{scheme}://127.0.0.1:{self.ports[server]}{path}"


@contextlib.contextmanager
def nginx(directory: Path, syslog_port: int) -> Iterator[Nginx]:
    """NGINX with all servers of configs/nginx.conf; it is gone afterwards."""
    command = find("nginx", "nginx")
    modules = [path for path in MODULES if (path / "ngx_stream_module.so").exists()]
    if not modules:
        pytest.skip("NGINX's stream module is not installed (Debian package libnginx-mod-stream)")
    backend, capture = Backend(), Capture()
    ports = {server: free_port() for server in SERVERS}
    dead, trust = free_port(), write_certificate(directory)
    values: dict[str, object] = {name.upper(): port for name, port in ports.items()}
    values |= {"APP": backend.port, "DEAD": dead, "DIR": directory, "MODULES": modules[0]}
    values |= {"SYSLOG": syslog_port, "CAPTURE": capture.port, "PEM": trust}
    config = directory / "nginx.conf"
    config.write_text(re.sub(r"@([A-Z]+)@", lambda m: str(values[m[1]]), CONFIG.read_text()))
    arguments = ["-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
    process = Process([command, *arguments], directory / "nginx.txt", {"TZ": "UTC"})
    try:
        process.wait_listening(ports["combined"])
        app, gone = f"127.0.0.1:{backend.port}", f"127.0.0.1:{dead}"
        yield Nginx(process, directory, ports, app, gone, capture, trust)
    finally:
        process.end_group()
        capture.close()
        backend.close()
