"""A running NGINX: its master takes signals (SIGHUP loads the files anew, SIGQUIT ends gently)."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from muniment.edge import nginx
from muniment.edge.balancer import EdgeFailing, end, is_alive, spawn
from muniment.edge.description import Description

READY_SECONDS = 15.0
_POLL_SECONDS = 0.05
_logger = logging.getLogger(__name__)


class Nginx:
    """Balancer. `directory` is its own, and nobody else's to write to."""

    name = "nginx"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def render(self, description: Description) -> Mapping[str, str]:
        """See Balancer. Nodes that drain are marked in the file: there is no other way."""
        return nginx.render(description)

    def check(self, directory: Path) -> str | None:
        """See Balancer."""
        return nginx.check(directory)

    @property
    def running(self) -> bool:
        """See Balancer."""
        return is_alive(self._child)

    def start(self) -> None:
        """See Balancer. What an earlier supervisor left behind ends first: it has the addresses."""
        self._end_left_behind()
        directives = ["daemon off"]
        if os.geteuid() == 0:
            # Workers of another user could not read what is in a directory of root's own.
            directives.append("user root")
        command = nginx.command(self._directory, *directives)
        self._child = spawn(command, self._directory, signal.SIGQUIT)
        self._wait(lambda: bool(self._workers()))

    def reload(self) -> None:
        """See Balancer."""
        assert self._child is not None
        before = self._workers()
        self._child.send_signal(signal.SIGHUP)
        self._wait(lambda: bool(self._workers() - before))

    def drain(self, nodes: Collection[str]) -> None:
        """See Balancer: the files say it already."""

    def stop(self, seconds: float) -> None:
        """See Balancer."""
        if self._child is not None:
            end(self._child, signal.SIGQUIT, seconds)

    def _wait(self, done: Callable[[], bool]) -> None:
        assert self._child is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise EdgeFailing(f"nginx ended with status {self._child.returncode}")
            if done():
                return
            time.sleep(_POLL_SECONDS)
        raise EdgeFailing(f"nginx has not loaded its files after {READY_SECONDS:.0f} s")

    def _workers(self) -> set[int]:
        assert self._child is not None
        found: set[int] = set()
        for path in Path(f"/proc/{self._child.pid}/task").glob("*/children"):
            with suppress(OSError):
                found |= {int(pid) for pid in path.read_text().split()}
        return found

    def _end_left_behind(self) -> None:
        pid_file = self._directory / "nginx.pid"
        try:
            pid = int(pid_file.read_text())
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name != "nginx" or Path(f"/proc/{pid}/cwd").readlink() != self._directory:
                return
        except (OSError, ValueError):
            return
        _logger.warning("an earlier nginx (pid %d) is told to end", pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + READY_SECONDS
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
