"""A real Ceph RADOS gateway: one monitor, one OSD in memory, one gateway, on loopback.

Debian's ceph-mon, ceph-osd, radosgw and ceph-common; about 12 seconds and 150 MB. Its folder lies
in the system's temporary folder: the path of a Unix socket has 107 bytes at most.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from .process import Process, free_port
from .s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from .waiting import wait_for

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
GATEWAY = "client.rgw.0"
CONFIG = """\
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{monitor}]
mon initial members = a
public addr = 127.0.0.1
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
mon data avail warn = 1
mon data avail crit = 1
run dir = {directory}/run
admin socket = {directory}/run/$name.$pid.asok
log file = {directory}/$name.log
setuser match path =
[mon.a]
mon data = {directory}/mon
[osd.0]
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = {capacity}
osd class load list = *
osd class default list = *
[client.rgw.0]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw crypt require ssl = false
rgw enable usage log = false
rgw thread pool size = 32
"""
CAPACITY = 2 << 30
TRIES = 3


class Ceph(S3Server):
    """A gateway that keeps its address and its objects while it is stopped and started."""

    def __init__(self, directory: Path, capacity: int = CAPACITY) -> None:
        self.directory = directory
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._monitor = free_port()
        self._fsid = str(uuid4())
        self._config = directory / "ceph.conf"
        self._daemons: list[Process] = []
        self._gateway: Process | None = None
        for name in ("mon", "osd", "run"):
            (directory / name).mkdir()
        self._config.write_text(
            CONFIG.format(
                fsid=self._fsid,
                monitor=self._monitor,
                directory=directory,
                port=self.port,
                capacity=capacity,
            )
        )

    def start(self) -> None:
        """Starts everything and makes the user whose keys the tests have."""
        self._start_monitor()
        self._start_osd()
        self.start_gateway()
        self.admin(
            *("user", "create", "--uid=muniment", "--display-name=muniment"),
            *(f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}"),
        )

    def start_gateway(self) -> None:
        """Starts the gateway (again) and waits until it listens."""
        assert self._gateway is None
        self._gateway = Process(
            ["radosgw", "-c", str(self._config), "-n", GATEWAY, "-f"], self.directory / "rgw.out"
        )
        self._gateway.wait_listening(self.port, 90.0)

    def stop_gateway(self) -> None:
        """kill -9 of the gateway: connections are refused; what it had answered stays."""
        if self._gateway is not None:
            self._gateway.end_group()
            self._gateway.stop()
            self._gateway = None

    def freeze(self) -> None:
        """SIGSTOP: connections are taken, nothing is answered."""
        assert self._gateway is not None
        self._gateway.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: what waits is answered now."""
        assert self._gateway is not None
        self._gateway.send(signal.SIGCONT)

    def admin(self, *arguments: str) -> str:
        """Runs radosgw-admin and returns what it printed."""
        return self._run("radosgw-admin", "-c", str(self._config), "-n", GATEWAY, *arguments)

    def close(self) -> None:
        """Ends all daemons, surely."""
        daemons = [*self._daemons, *([self._gateway] if self._gateway else [])]
        for daemon in daemons[::-1]:
            daemon.end_group()
        for daemon in daemons:
            daemon.stop()
        self._daemons, self._gateway = [], None

    def _start_monitor(self) -> None:
        map_file, address = self.directory / "monmap", f"127.0.0.1:{self._monitor}"
        self._run(
            *("monmaptool", "--create", "--addv", "a", f"[v1:{address}]"),
            *("--fsid", self._fsid, str(map_file)),
        )
        common = ["ceph-mon", "-c", str(self._config), "-i", "a"]
        self._run(*common, "--mkfs", "--monmap", str(map_file))
        self._daemons.append(Process([*common, "-f"], self.directory / "mon.out"))
        wait_for(lambda: self._asked("mon", "stat") is not None, "the monitor", 60.0)

    def _start_osd(self) -> None:
        """Starts the OSD, again where it ends.

        Without authentication a client's first command can go out before it has heard the
        cluster's id; the monitor then answers 'wrong fsid', and an OSD gives up.
        """
        uuid = str(uuid4())  # the same for `osd new` and for mkfs, else it never comes up
        wait_for(lambda: self._asked("osd", "new", uuid) is not None, "the OSD's number", 30.0)
        common = ["ceph-osd", "-c", str(self._config), "-i", "0"]
        self._run(*common, "--mkfs", "--osd-uuid", uuid)
        osd = Process([*common, "-f"], self.directory / "osd.out")
        self._daemons.append(osd)

        def up() -> bool:
            nonlocal osd
            if not osd.running:
                osd = self._daemons[-1] = Process([*common, "-f"], self.directory / "osd.out")
            return "1 up" in (self._asked("osd", "stat") or "")

        wait_for(up, "the OSD", 60.0)

    def _asked(self, *arguments: str) -> str | None:
        try:
            return self._run("ceph", "-c", str(self._config), "--connect-timeout=5", *arguments)
        except (AssertionError, subprocess.TimeoutExpired):
            return None

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.directory,
            env={**os.environ, "CEPH_CONF": str(self._config)},
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"
        return done.stdout

    def _last_words(self) -> str:
        """Returns the ends of what the daemons logged."""
        logs = [*self.directory.glob("*.out"), *self.directory.glob("*.log")]
        ends = [path.read_text(errors="replace")[-1500:] for path in logs]
        return "\n".join(f"{path.name}:\n{end}" for path, end in zip(logs, ends, strict=True))


@contextlib.contextmanager
def ceph_gateway(capacity: int = CAPACITY) -> Iterator[Ceph]:
    """A gateway of its own; skips where the programs are not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: no Ceph RADOS gateway")
    with contextlib.ExitStack() as stack:
        for number in range(TRIES):  # ports are taken between being found and being used
            directory = Path(tempfile.mkdtemp(prefix="ceph-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            gateway = Ceph(directory, capacity)
            stack.callback(gateway.close)
            try:
                gateway.start()
                break
            except (AssertionError, subprocess.TimeoutExpired) as error:
                gateway.close()
                if number == TRIES - 1:
                    raise AssertionError(f"no Ceph: {error}\n{gateway._last_words()}") from error
        yield gateway


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """The gateway that all tests of a worker share; who stops or freezes it brings it back."""
    with ceph_gateway() as gateway:
        yield gateway
