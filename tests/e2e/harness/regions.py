"""A fleet over two jurisdictions on one machine, and a watch on every byte that one of them sees.

The nodes are spoken to in plain HTTP, so that what passes through a node can be seen in its system
calls. What is sent does not compress, so that it can be seen in files, too.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from muniment.access import Scope, Tokens

from .certificate import write_certificate
from .load import find
from .process import Process, descendants, free_port
from .waiting import wait_for

CALLS = "trace=read,write,readv,writev,pread64,pwrite64,preadv,pwritev,%network,sendfile,splice"
NOISE_BYTES = 4_000
TOKENS = "tokens.json"


@dataclass
class Place:
    """A node: where it stands, what it keeps, what it was seen to read and write."""

    name: str
    root: Path
    jurisdiction: str
    roles: Sequence[str]
    logs: Sequence[str]
    residency: bool = True
    port: int = field(default_factory=free_port)

    @property
    def home(self) -> Path:
        """What lies in the jurisdiction: data and stores of its nodes."""
        return self.root / self.jurisdiction

    @property
    def traced(self) -> Path:
        return self.root / f"{self.name}.strace"

    def config(self) -> Path:
        """Writes the settings."""
        stays = [log for log in self.logs if log != "default"] if self.residency else []
        residency = ", ".join(f'{log} = "{self.jurisdiction}"' for log in stays)
        lines = [
            f'data = "{self.home / self.name}"',
            f'node = "{self.name}"',
            f'listen = "127.0.0.1:{self.port}"',
            f"logs = {json.dumps(self.logs)}",
            f"roles = {json.dumps(self.roles)}",
            f'jurisdiction = "{self.jurisdiction}"',
            'syslog = "off"',
            f'tokens = "{self.root / TOKENS}"',
            'worm_check = "off"',
            'segment_age = "2s"',
            f"residency = {{ {residency} }}",
            f'[[store]]\nurl = "{(self.home / "archive").as_uri()}"',
            f'jurisdiction = "{self.jurisdiction}"',
            f'[fleet]\nurl = "http://127.0.0.1:{self.port}"\nmembers = ["store"]',
            "heartbeat = 0.5\nlost_after = 2.0",
            f'[fleet.store]\nurl = "{(self.root / "members").as_uri()}"',
        ]
        path = self.root / f"{self.name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path


class Regions:
    """The nodes, each under a watch, and one HAProxy before them."""

    def __init__(self, root: Path, places: Sequence[Place]) -> None:
        self.root, self.places = root, places
        self.nodes: dict[str, Process] = {}
        self._watches: list[Process] = []
        self.edges: dict[str, httpx.Client] = {}
        self._token = Tokens.open(root / TOKENS).create("app", [Scope.WRITE, Scope.READ])
        self._edges: list[Process] = []

    def start(self) -> None:
        """Starts the nodes, then attaches to all their threads and children."""
        for place in self.places:
            place.home.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "muniment", "serve", "--config", str(place.config())]
            node = Process(command, self.root / f"{place.name}.txt")
            self.nodes[place.name] = node
        for place in self.places:
            node = self.nodes[place.name]
            wait_for(lambda n=node: "Muniment is listening" in n.printed(), "a node to listen")
            pids = [
                argument
                for pid in [node.pid, *descendants(node.pid)]
                for argument in ("-p", str(pid))
            ]
            watch = [find("strace", "strace"), "-f", "-qq", "-s", "100000", "-e", CALLS]
            command = [*watch, "-o", str(place.traced), *pids]
            self._watches.append(Process(command, self.root / f"{place.name}.watch.txt"))
            wait_for(place.traced.exists, "strace to attach")

    def start_edge(self, name: str, jurisdiction: str = "") -> httpx.Client:
        """Starts a HAProxy as `muniment edge run` makes it; returns a client of it."""
        directory = self.root / name
        directory.mkdir()
        port = free_port()
        lines = [f'name = "{name}"', f'jurisdiction = "{jurisdiction}"']
        lines += [f'[listen]\nhttps = ["127.0.0.1:{port}"]']
        lines += [f'[tls]\ncertificate = "{write_certificate(directory)}"']
        for place in self.places:
            roles = json.dumps([role for role in place.roles if role != "watch"])
            lines += [f'[[node]]\nname = "{place.name}"\naddress = "127.0.0.1:{place.port}"']
            lines += [f'jurisdiction = "{place.jurisdiction}"\nroles = {roles}']
        lines += ['[[log]]\nname = "payments"\nresidency = "eu"', '[[log]]\nname = "default"']
        fleet = directory / "fleet.toml"
        fleet.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "muniment", "edge", "run", "haproxy"]
        command += ["--fleet", str(fleet), "--directory", str(directory / "run")]
        edge = Process(command, self.root / f"{name}.txt")
        self._edges.append(edge)
        edge.wait_listening(port)
        client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {self._token}"},
            verify=False,
            timeout=20,
        )
        self.edges[name] = client
        wait_for(lambda: client.get("/readyz").status_code == 200, f"{name} to be ready")
        return client

    def seen(self, place: Place, *markers: bytes) -> dict[bytes, list[Path]]:
        """Where each marker was seen at a node: in its system calls, its files and stores.

        A file that has gone meanwhile was written, and was seen in the calls.
        """
        found: dict[bytes, list[Path]] = {}
        for path in [place.traced, *(path for path in place.home.rglob("*") if path.is_file())]:
            with contextlib.suppress(FileNotFoundError):
                data = path.read_bytes()
                for marker in markers:
                    if marker in data:
                        found.setdefault(marker, []).append(path)
        return found

    def stop(self) -> None:
        for client in self.edges.values():
            client.close()
        for process in self._edges:
            process.end_group()
        for process in self._watches:
            process.send(signal.SIGTERM)
        for process in self._watches:
            process.end_group()
        for process in self.nodes.values():
            process.end_group()


@contextlib.contextmanager
def regions(root: Path, places: Sequence[Place]) -> Iterator[Regions]:
    """A fleet over several jurisdictions; it is gone afterwards."""
    fleet = Regions(root, places)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


def marked(marker: bytes) -> bytes:
    """An entry that does not compress, with a marker in it that can be found as it is."""
    return secrets.token_bytes(NOISE_BYTES) + marker + secrets.token_bytes(NOISE_BYTES)
