"""A running Envoy: it watches the file of its clusters, and is replaced for all else.

Nodes that come, go and drain need no new process: the clusters are renamed into place, and Envoy
takes them. Where the bootstrap file has changed (limits, routes, certificates) the next Envoy takes
over the listening sockets of the one before, which ends what it has: Envoy's hot restart.
"""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from muniment.edge import envoy
from muniment.edge.balancer import EdgeFailing, end, is_alive
from muniment.edge.description import Description
from muniment.edge.files import certificates, content
from muniment.edge.renderers import binary

READY_SECONDS = 20.0
DRAIN_SECONDS = 5
"""For so long the Envoy before asks its clients to come anew, then it ends."""

_POLL_SECONDS = 0.05
_ACTIVE = re.compile(rb"http\.https\.downstream_rq_active: (\d+)")


class Envoy:
    """Balancer. `directory` is its own, and nobody else's to write to."""

    name = "envoy"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._before: subprocess.Popen[bytes] | None = None
        self._coming: subprocess.Popen[bytes] | None = None
        self._epoch, self._loaded = 0, ""
        self._certificates: list[Path] = []

    def render(self, description: Description) -> Mapping[str, str]:
        """See Balancer. Nodes that drain stand as such in the clusters."""
        self._certificates = certificates(description)
        return envoy.render(description)

    def check(self, directory: Path) -> str | None:
        """See Balancer."""
        return envoy.check(directory)

    @property
    def running(self) -> bool:
        """See Balancer. One that is late may have taken over by now."""
        return is_alive(self._child) or is_alive(self._coming)

    def start(self) -> None:
        """See Balancer."""
        self._epoch, self._coming = 0, None
        child = self._launch("--use-dynamic-base-id", "--base-id-path", "envoy.base-id")
        try:
            self._wait_ready(child, self._epoch)
        except EdgeFailing:
            end(child, signal.SIGTERM, 5.0)
            raise
        self._child = child

    def reload(self) -> None:
        """See Balancer. Envoy has taken new clusters by itself already.

        One that was late is waited for again: an Envoy that is ended while it starts leaves a mark
        in the memory that it shares with the others, and no other could take over any more.
        """
        while self._coming is not None or self._loads() != self._loaded:
            if self._coming is None:
                self._end_before()
                self._coming = self._launch(
                    "--base-id", self._base_id(), "--restart-epoch", str(self._epoch + 1)
                )
            try:
                self._wait_ready(self._coming, self._epoch + 1)
            except EdgeFailing:
                if not is_alive(self._child):  # nobody serves: `start` is better
                    end(self._coming, signal.SIGTERM, 5.0)
                if not is_alive(self._coming):
                    self._coming, self._loaded = None, ""
                raise
            self._epoch += 1
            self._before, self._child, self._coming = self._child, self._coming, None

    def drain(self, nodes: Collection[str]) -> None:
        """See Balancer. The clusters say it."""

    def stop(self, seconds: float) -> None:
        """See Balancer."""
        if self._child is None:
            return
        deadline = time.monotonic() + seconds
        with suppress(OSError, http.client.HTTPException):
            self._admin("POST", "/drain_listeners?graceful&skip_exit")
            while time.monotonic() < deadline and self._active():
                time.sleep(_POLL_SECONDS)
        for child in (self._child, self._coming, self._before):
            if child is not None:
                end(child, signal.SIGTERM, 5.0)

    def _end_before(self) -> None:
        """Waits for the one before to end by itself: its successor talks to it until then."""
        if self._before is not None:
            with suppress(subprocess.TimeoutExpired):
                self._before.wait(2 * DRAIN_SECONDS + 1)
            end(self._before, signal.SIGKILL, 5.0)
            self._before = None

    def _launch(self, *options: str) -> subprocess.Popen[bytes]:
        """Starts an Envoy on the files. Raises NoBinary."""
        loads = self._loads()
        beside = shutil.which("envoy", path=str(Path(sys.executable).parent))
        timing = ("--drain-time-s", str(DRAIN_SECONDS), "--parent-shutdown-time-s")
        command = [beside or binary("envoy"), "-c", envoy.BOOTSTRAP, "-l", "warn", *options]
        child = subprocess.Popen(
            [*command, *timing, str(DRAIN_SECONDS + 1)],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._loaded = loads
        return child

    def _base_id(self) -> str:
        try:
            return (self._directory / "envoy.base-id").read_text().strip()
        except OSError as error:
            raise EdgeFailing(f"envoy cannot be replaced: {error}") from error

    def _wait_ready(self, child: subprocess.Popen[bytes], epoch: int) -> None:
        """Waits until an Envoy serves. Raises EdgeFailing."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise EdgeFailing(f"envoy ended with status {child.returncode}")
            with suppress(OSError, http.client.HTTPException):
                if self._says(b'"restart_epoch": %d' % epoch):
                    return
            time.sleep(_POLL_SECONDS)
        raise EdgeFailing(f"envoy is not ready after {READY_SECONDS:.0f} s")

    def _says(self, epoch: bytes) -> bool:
        """Whether the Envoy that answers is the one of this epoch, and serves."""
        said = self._admin("GET", "/server_info")
        return b'"state": "LIVE"' in said and epoch in said

    def _active(self) -> int:
        """How many requests are under way."""
        found = _ACTIVE.search(self._admin("GET", "/stats?filter=http.https.downstream_rq_active"))
        return int(found[1]) if found else 0

    def _admin(self, method: str, path: str) -> bytes:
        """Asks the administration socket, which is this user's alone."""
        connection = _Unix(str(self._directory / "envoy-admin.sock"))
        try:
            connection.request(method, path)
            return connection.getresponse().read(1 << 20)
        finally:
            connection.close()

    def _loads(self) -> str:
        """Tells what Envoy reads only when it starts."""
        return content([self._directory / envoy.BOOTSTRAP, *self._certificates])


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(self._path)
