"""A fleet on this machine, as `muniment up` runs it, and what can befall its nodes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from muniment.errors import SettingsError
from muniment.up.control import Order, ask
from muniment.up.front import check_installed
from muniment.up.places import Places
from muniment.up.plan import EdgeKind, Plan, load_plan

from .process import Process, alive, descendants, free_port
from .server import LOG
from .waiting import wait_for

STARTED = "Ctrl-C ends all of it in order."
LONGER = "MUNIMENT_TEST_DISASTERS" in os.environ
"""Whether there is time for more of each disaster, and for each behind every balancer."""


PRINTED = 8_000


def edges(*usual: str) -> tuple[str, ...]:
    """The balancers that a disaster is tried behind: the usual ones, or all where there is time."""
    return ("haproxy", "nginx", "envoy") if LONGER else usual


class Cluster:
    """`muniment up` in a folder of its own. Nodes are called by their names, as `ingest-1`."""

    def __init__(self, folder: Path, *options: str, edge: str = "haproxy", nodes: int = 3) -> None:
        """`options` are more of `muniment up`. `wrap` is put before the command."""
        self.folder, self.edge = folder, edge
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.token = ""
        self.wrap: list[str] = []
        self._options = ["--nodes", str(nodes), "--edge", edge, *options]
        self._output = folder.with_name(f"{folder.name}.txt")
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The process of `muniment up`."""
        assert self._process is not None, "the fleet was not started"
        return self._process

    @property
    def places(self) -> Places:
        """What stands where in its folder."""
        return Places(self.folder)

    @property
    def plan(self) -> Plan:
        """What it is made of."""
        found = load_plan(self.places.plan)
        assert found is not None
        return found

    @property
    def ca(self) -> Path:
        """The certificate of the fleet's authority."""
        return self.folder / "ca.pem"

    def start(self) -> None:
        """Starts the fleet, the first time or again, and waits until its edge answers."""
        began = self._output.stat().st_size if self._output.exists() else 0
        command = [*self.wrap, sys.executable, "-m", "muniment", "up"]
        command += ["--dir", str(self.folder), "--port", str(self.port)]
        self._process = Process([*command, *self._options], self._output)

        def started() -> bool:
            assert self.process.running, f"the fleet ended:\n{self.printed(began)[-4000:]}"
            return STARTED in self.printed(began)

        wait_for(started, lambda: f"the fleet to be up:\n{self.printed(began)[-4000:]}", 120)
        found = re.search(r"mun_\w{8}_[\w-]{43}", self.printed(began))
        self.token = found[0] if found else self.token

    def printed(self, since: int = 0) -> str:
        """What `muniment up` and its nodes printed, from a byte on."""
        return self._output.read_bytes()[since:].decode(errors="replace")

    def stop(self) -> int:
        """Ends the fleet as Ctrl-C does; returns the exit code."""
        self.process.send(signal.SIGINT)
        wait_for(lambda: not self.process.running, "the fleet to end", 180)
        return self.process.stop()

    def close(self) -> None:
        """Ends what still runs: with the process of `up`, all of the fleet ends."""
        if self._process is None:
            return
        below = descendants(self.process.pid)
        self.process.end_group()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not any(map(alive, below)), "the processes of the fleet to end", 20)
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def up(self, *arguments: str, seconds: float = 180) -> str:
        """Runs `muniment up ARGUMENTS` beside the fleet; it must end well."""
        command = [sys.executable, "-m", "muniment", "up", *arguments, "--dir", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.printed()[-3000:]}"
        return done.stdout

    def status(self) -> dict[str, dict[str, Any]]:
        """What there is of each process, by name."""
        told = [
            one for line in ask(self.folder / "control", Order("status")) for one in line.processes
        ]
        return {one.name: msgspec.to_builtins(one) for one in told}

    def pid(self, name: str) -> int:
        """The process id of a node."""
        return int(self.status()[name]["pid"])

    def kill(self, name: str) -> None:
        """kill -9 of a node and of its query process; `up` starts it again by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid(name), signal.SIGKILL)

    def wait_ready(self, name: str) -> None:
        """Waits until a node says that it is ready."""
        wait_for(lambda: self.status()[name]["state"] == "ready", f"{name} to be ready", 90)

    @contextlib.contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """A node whose processes all stand still for the time of the block."""
        pid = self.pid(name)
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    def client(self, **more: Any) -> httpx.Client:
        """A client of the edge, with the admin token."""
        context = ssl.create_default_context(cafile=str(self.ca))
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=self.url, verify=context, headers=headers, trust_env=False, **more
        )

    def muniment(self, *arguments: str, seconds: float = 120) -> tuple[int, str]:
        """Runs another command against the edge; returns its exit code and what it printed."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("MUNIMENT_")}
        env |= {"MUNIMENT_TOKEN": self.token, "HOME": str(self.folder), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "muniment", *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=env,
        )
        return done.returncode, done.stdout + done.stderr

    def sql(self, statement: str, seconds: float = 60) -> list[list[Any]]:
        """The rows of a SQL statement, asked again while there is no good answer."""
        found: list[list[Any]] = []

        def answered() -> bool:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post("/api/v1/sql", json={"query": statement})
                assert answer.status_code not in (400, 401, 403, 404), answer.text
                if answer.status_code == 200:
                    found[:] = answer.json()["rows"]
                    return True
                time.sleep(0.3)
            return False

        with self.client(timeout=30) as client:
            wait_for(answered, f"an answer to {statement}", seconds)
        return found

    def shards(self) -> dict[str, dict[str, Any]]:
        """The shards of the log, as the edge shows them, by name."""

        def answered() -> dict[str, dict[str, Any]]:
            with contextlib.suppress(httpx.TransportError):
                answer = client.get("/api/v1/logs")
                if answer.status_code == 200:
                    (log,) = [log for log in answer.json()["logs"] if log["name"] == LOG]
                    return {one["shard"]: one for one in log["shards"]}
                time.sleep(0.3)
            return {}

        with self.client(timeout=30) as client:
            return wait_for(answered, "the shards", 60)


@contextlib.contextmanager
def cluster(*options: str, edge: str = "haproxy", nodes: int = 3) -> Iterator[Cluster]:
    """A fleet, not started; gone afterwards, with its folder, which has a short name.

    Of what failed, the last that the fleet printed is shown.
    """
    try:
        check_installed(EdgeKind(edge))
    except SettingsError as error:
        pytest.skip(error.detail)
    parent = Path(tempfile.mkdtemp(prefix="fleet-"))
    found = Cluster(parent / "fleet", *options, edge=edge, nodes=nodes)
    try:
        yield found
    except BaseException:
        print(f"\nwhat the fleet printed last:\n{found.printed()[-PRINTED:]}")
        raise
    finally:
        found.close()
        shutil.rmtree(parent, ignore_errors=True)
