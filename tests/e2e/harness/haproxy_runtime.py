"""A HAProxy as it runs in production: master and worker, stats socket, maps, ACLs, certificates."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .backend import Backend
from .certificate import write_certificate
from .load import exchange, find, request
from .process import Process, free_port
from .waiting import wait_for

CONFIG = """\
global
  stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners
  maxconn 400
  nbthread 1
  log 127.0.0.1:{syslog} len 8192 format rfc5424 local0

defaults
  log global
  mode http
  option httplog
  option http-server-close
  timeout connect 1s
  timeout client 5s
  timeout server 5s

userlist ops
  user alice insecure-password {password}

frontend web
  bind 127.0.0.1:{web}
  maxconn 300
  monitor-uri /monitor
  stats enable
  stats uri /stats
  http-request deny if {{ src -f {directory}/blocked.acl }}
  http-request deny if {{ path_beg /never }}
  use_backend %[path,map({directory}/paths.map,app)]

frontend secure
  bind 127.0.0.1:{secure} ssl crt {directory}/edge.pem
  default_backend app

frontend quiet
  bind 127.0.0.1:{quiet}
  option dontlognull
  default_backend app

backend app
  balance roundrobin
  server w1 127.0.0.1:{app} weight 100
  server w2 127.0.0.1:{app} weight 50 maxconn 40
  server marker 127.0.0.1:{app} weight 1

backend spare
  balance roundrobin
  server s1 127.0.0.1:{app}
"""
PASSWORD = "s3cret-of-alice"


@dataclass
class RuntimeHAProxy:
    """The running HAProxy; its files are in `directory`."""

    directory: Path
    ports: dict[str, int]
    process: Process

    @property
    def config(self) -> Path:
        return self.directory / "haproxy.cfg"

    @property
    def address(self) -> str:
        return str(self.directory / "admin.sock")

    def ask(self, command: str) -> str:
        """Sends one command to the stats socket and returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(self.address)
            connection.sendall(command.encode() + b"\n")
            answer = bytearray()
            while data := connection.recv(65_536):
                answer += data
        return answer.decode().strip()

    def info(self, name: str) -> str:
        """Returns a value of `show info`."""
        lines = self.ask("show info").splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)[name]

    def reload(self) -> None:
        """Loads the configuration anew and waits for the new worker."""
        before = self.info("Pid")
        self.process.send(signal.SIGUSR2)

        def replaced() -> bool:
            with contextlib.suppress(OSError, KeyError):
                return self.info("Pid") != before
            return False

        wait_for(replaced, "the new worker")


@contextlib.contextmanager
def runtime_haproxy(directory: Path, syslog_port: int) -> Iterator[RuntimeHAProxy]:
    """A HAProxy with `CONFIG`; it is gone afterwards."""
    command = find("haproxy", "haproxy")
    backend = Backend()
    ports = {name: free_port() for name in ("web", "secure", "quiet")}
    write_certificate(directory)
    (directory / "blocked.acl").write_text("192.0.2.1\n")
    (directory / "paths.map").write_text("/spare spare\n")
    (directory / "haproxy.cfg").write_text(
        CONFIG.format(
            directory=directory, syslog=syslog_port, app=backend.port, password=PASSWORD, **ports
        )
    )
    arguments = ["-W", "-db", "-p", "haproxy.pid", "-f", str(directory / "haproxy.cfg")]
    process = Process([command, *arguments], directory / "haproxy.txt")
    try:
        process.wait_listening(ports["web"])
        yield RuntimeHAProxy(directory, ports, process)
    finally:
        process.end_group()
        backend.close()


@dataclass
class Traffic:
    """Requests one after the other, on a connection each, until it ends."""

    port: int
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._ending.wait(0.005):
            try:
                status = exchange(self.port, request("/traffic")).status
            except OSError as error:
                self.failed.append(str(error))
                continue
            self.done += 1
            if status != 200:
                self.failed.append(f"status {status}")
