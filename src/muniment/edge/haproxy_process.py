"""A running HAProxy: a master that keeps the sockets, and workers that come and go with reloads.

The master is told by signals (management guide, chapter 4): SIGUSR2 loads the files anew and hands
the listening sockets to a new worker, while the old one ends what it has; SIGUSR1 ends all.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from muniment.balancer.haproxy import Refused, StatsSocket, Unreachable, info
from muniment.edge import haproxy
from muniment.edge.balancer import EdgeFailing, end, is_alive, spawn
from muniment.edge.description import Description
from muniment.edge.renderers import binary
from muniment.errors import MunimentError
from muniment.settings.kinds import Listen

READY_SECONDS = 15.0
FREE_SECONDS = 2.0
"""How long somebody who is just ending may still listen on an address of this edge."""

_POLL_SECONDS = 0.05
_logger = logging.getLogger(__name__)


class HAProxy:
    """Balancer. `directory` is its own, and nobody else's to write to."""

    name = "haproxy"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._admin = StatsSocket(str(directory / "admin.sock"))
        self._backends: tuple[tuple[str, str], ...] = ()
        self._listening: tuple[Listen, ...] = ()

    def render(self, description: Description) -> Mapping[str, str]:
        """See Balancer. Whether a node drains is told over the admin socket instead."""
        ready = [
            node.model_copy(update={"state": "ready"}) if node.state == "draining" else node
            for node in description.node
        ]
        description = description.with_nodes(ready)
        self._backends = tuple(haproxy.write_servers(description))
        self._listening = _addresses(description)
        return haproxy.render(description, str(self._directory))

    def check(self, directory: Path) -> str | None:
        """See Balancer."""
        return haproxy.check(directory)

    @property
    def running(self) -> bool:
        """See Balancer."""
        return is_alive(self._child)

    def start(self) -> None:
        """See Balancer. What an earlier supervisor left behind ends once this one listens."""
        left = self._worker()
        if left is None and self._child is None:
            _wait_free(self._listening)
        master = _parent(left) if left is not None else None
        command = [binary("haproxy"), "-W", "-f", haproxy.CONFIG]
        self._child = spawn(command, self._directory, signal.SIGUSR1)
        try:
            self._wait_loaded(than=left)
        except EdgeFailing:
            end(self._child, signal.SIGTERM, 5.0)
            raise
        if master is not None and _is_haproxy(master):
            _logger.warning("an earlier haproxy (pid %d) is told to end", master)
            with suppress(ProcessLookupError):
                os.kill(master, signal.SIGUSR1)

    def reload(self) -> None:
        """See Balancer."""
        assert self._child is not None
        before = self._worker()
        self._child.send_signal(signal.SIGUSR2)
        self._wait_loaded(than=before)

    def drain(self, nodes: Collection[str]) -> None:
        """See Balancer."""
        for backend, server in self._backends:
            state = "drain" if server in nodes else "ready"
            try:
                said = self._admin.ask(f"set server {backend}/{server} state {state}")
            except (Unreachable, Refused) as error:
                raise EdgeFailing(f"haproxy takes no command: {error.detail}") from error
            if said:
                raise EdgeFailing(f"haproxy, set server {backend}/{server}: {said[:200]}")

    def stop(self, seconds: float) -> None:
        """See Balancer."""
        if self._child is not None:
            end(self._child, signal.SIGUSR1, seconds)

    def _wait_loaded(self, than: int | None) -> None:
        """Waits for a worker of the newest load, another one `than` the one before."""
        assert self._child is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise EdgeFailing(f"haproxy ended with status {self._child.returncode}")
            worker = self._worker()
            if worker is not None and worker != than and _parent(worker) == self._child.pid:
                return
            time.sleep(_POLL_SECONDS)
        raise EdgeFailing(f"haproxy has not loaded its files after {READY_SECONDS:.0f} s")

    def _worker(self) -> int | None:
        """The process that answers on the admin socket: the worker of the newest load."""
        try:
            pid = info(self._admin.ask("show info")).get("Pid", "")
        except MunimentError:
            return None
        return int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 10 else None


def _addresses(description: Description) -> tuple[Listen, ...]:
    plain = (description.listen.http,) if description.listen.http is not None else ()
    return (*description.listen.https, *plain, *(one.listen for one in description.stream))


def _wait_free(addresses: Collection[Listen]) -> None:
    """Raises EdgeFailing for an address that somebody listens on.

    HAProxy itself binds with SO_REUSEPORT: another one of the same user would share connections.
    """
    deadline = time.monotonic() + FREE_SECONDS
    while taken := [address for address in addresses if _is_taken(address)]:
        if time.monotonic() >= deadline:
            raise EdgeFailing(f"{taken[0]}: another process listens there already")
        time.sleep(_POLL_SECONDS)


def _is_taken(address: Listen) -> bool:
    """Whether somebody listens there; what else is wrong with an address HAProxy says itself."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE and _is_listened_on(address.port)
    return False


def _is_listened_on(port: int) -> bool:
    """Whether it is a listener, and no connection that has the port by chance (proc_net(5))."""
    rows: list[str] = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows += Path("/proc/net", table).read_text().splitlines()[1:]
    ends = [row.split()[1:4] for row in rows]
    listening, tail = "0A", f":{port:04X}"
    return any(state == listening and local.endswith(tail) for local, _, state in ends)


def _parent(pid: int) -> int | None:
    """Returns the master of a worker; None where there is none any more (proc_pid_stat(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    parent = int(fields[1])
    return parent if parent > 1 else None


def _is_haproxy(pid: int) -> bool:
    """Whether a process is one: a worker without its master is the child of somebody else."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip().startswith("haproxy")
    except OSError:
        return False
