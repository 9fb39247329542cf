"""Real nodes over mutual TLS, and `muniment edge run` in front of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.authority import Authority, Issued

from .process import Process, free_port
from .server import LOG, MunimentServer, split_entry, stored_entries
from .waiting import wait_for

NODES_NAME = "nodes.test"
NODE = """
node = "{name}"
tls_certificate = "{certificate}"
tls_key = "{key}"
tls_client_ca = "{ca}"
edges = ["edge"]
writers = ["agent"]
tokens = "{tokens}"
probe_listen = "127.0.0.1:{probes}"
syslog = "off"
drain = 3.0

[[receive]]
protocol = "syslog"
listen = "127.0.0.1:{syslog}"
udp = false
tls_certificate = "{certificate}"
tls_key = "{key}"
tls_client_ca = "{ca}"
proxy_from = ["127.0.0.1"]
log = "default"
as = "syslog"
"""
EDGE = """
name = "edge"

[listen]
https = ["127.0.0.1:{https}"]
http = "127.0.0.1:{http}"

[tls]
certificate = "{edge}"
client_ca = "{ca}"
nodes_ca = "{ca}"
node_certificate = "{to_nodes}"
nodes_name = "{nodes_name}"

[limits]
requests = 10000
token_requests = 10000
connections = 200
stop = 10
retry_after = 1
{limits}

[[log]]
name = "default"

[[stream]]
protocol = "syslog"
listen = "127.0.0.1:{syslog}"
"""
WRITE = f"/api/v1/logs/{LOG}/entries"
TEXT = {"Content-Type": "text/plain"}


class EdgeNode(MunimentServer):
    """A node that lets in only those with a certificate."""

    def __init__(self, directory: Path, name: str, values: Mapping[str, object]) -> None:
        directory.mkdir()
        self.name, self.stream_port, probes = name, free_port(), free_port()
        config = NODE.format(name=name, probes=probes, syslog=self.stream_port, **values)
        super().__init__(directory / "data", directory / "serve.txt", config=config)
        self.http.close()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{probes}", trust_env=False)

    def start(self, *, ready: bool = True) -> None:
        """Starts it without the syslog listener of the default."""
        command = [sys.executable, "-m", "muniment", "serve", "--data", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--config", str(self._config)]
        self._process = Process(command, self.output, self._env)
        if ready:
            self.wait_ready()

    def entries(self) -> list[bytes]:
        """The bytes of all entries on its disk that a checkpoint covers, receipt headers too."""
        (shard,) = (self.data / "logs" / LOG).iterdir()
        checkpoints = shard / "checkpoints"
        text = checkpoints.read_text() if checkpoints.exists() else ""
        sizes = re.findall(r"^([0-9]+)$", text, re.MULTILINE)
        return stored_entries(shard, int(sizes[-1])) if sizes else []


@dataclass
class Traffic:
    """What came of requests under load: the bodies that were acknowledged, and all else."""

    acknowledged: set[bytes] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)


class EdgeFleet:
    """Nodes and an edge of one kind; `describe` and `start` bring it up."""

    def __init__(self, kind: str, directory: Path, stack: contextlib.ExitStack) -> None:
        if shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"{kind} is not installed here")
        self.kind, self.directory, self.stack = kind, directory, stack
        self.authority = Authority(directory)
        self.tokens = directory / "tokens.json"
        self.description = directory / "edge.toml"
        self.port, self.http_port, self.syslog_port = free_port(), free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.token = self._make_token()
        self.nodes: list[EdgeNode] = []
        self.states: dict[str, str] = {}
        self.limits = ""
        self.edge: Process | None = None
        localhost = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        self._edge = _joined(self.authority.issue("localhost", localhost), directory / "edge.pem")
        shown = self.authority.issue("edge", [x509.DNSName("edge")])
        self._to_nodes = _joined(shown, directory / "to-nodes.pem")

    def _make_token(self) -> str:
        command = [sys.executable, "-m", "muniment", "tokens", "--file", str(self.tokens)]
        command += ["create", "all", "--scope", "write", "--scope", "read", "--scope", "admin"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip().splitlines()[-1]

    def add_node(self, name: str) -> EdgeNode:
        """Starts a node; it is in the description from the next `describe` on."""
        names = [x509.DNSName(name), x509.DNSName(NODES_NAME)]
        issued = self.authority.issue(name, names)
        values = {"certificate": issued.certificate, "key": issued.key, "tokens": self.tokens}
        values["ca"] = self.authority.certificate
        node = EdgeNode(self.directory / name, name, values)
        self.stack.callback(node.close)
        node.start()
        self.nodes.append(node)
        return node

    def describe(self, extra: str = "") -> None:
        """Writes the description anew, at once."""
        text = EDGE.format(
            https=self.port,
            http=self.http_port,
            syslog=self.syslog_port,
            edge=self._edge,
            to_nodes=self._to_nodes,
            ca=self.authority.certificate,
            nodes_name=NODES_NAME,
            limits=self.limits,
        )
        for node in self.nodes:
            text += f'\n[[node]]\nname = "{node.name}"\naddress = "127.0.0.1:{node.port}"\n'
            text += f'listeners = {{ syslog = "127.0.0.1:{node.stream_port}" }}\n'
            text += f'tls_name = "{node.name}"\nstate = "{self.states.get(node.name, "ready")}"\n'
        new = self.description.with_suffix(".new")
        new.write_text(text + extra)
        new.replace(self.description)

    def start(self) -> None:
        """Runs the edge and waits until it has found its nodes."""
        command = [sys.executable, "-m", "muniment", "edge", "run", self.kind]
        command += ["--fleet", str(self.description), "--directory", str(self.directory / "run")]
        path = {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self.edge = Process(command, self.directory / "edge.txt", path)
        self.stack.callback(self._stop)
        self.edge.wait_listening(self.port)
        self.wait_ready()

    def _stop(self) -> None:
        if self.edge is not None:
            self.edge.stop()

    def said(self) -> str:
        """What the edge wrote."""
        assert self.edge is not None
        return self.edge.printed()

    def wait_ready(self) -> None:
        """Waits until the edge says that it has nodes to ask."""
        with self.client(token=False) as client:

            def ready() -> bool:
                assert self.edge is not None
                assert self.edge.running, self.said()[-4000:]
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/readyz").status_code == 200
                return False

            wait_for(ready, "the edge to be ready")

    def wait_said(self, text: str, times: int = 1) -> None:
        """Waits until the edge has said something."""
        wait_for(
            lambda: self.said().count(text) >= times, lambda: f"{text!r} in {self.said()[-3000:]}"
        )

    def client(
        self,
        *,
        token: bool = True,
        certificate: Issued | None = None,
        retries: int = 0,
        **headers: str,
    ) -> httpx.Client:
        """A client of the edge, with the token of the fleet unless told otherwise."""
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        if certificate is not None:
            trust.load_cert_chain(certificate.certificate, certificate.key)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {self.token}"
        return httpx.Client(
            base_url=self.url,
            transport=httpx.HTTPTransport(verify=trust, retries=retries),
            headers=named,
            timeout=60,
        )

    @contextlib.contextmanager
    def load(self, threads: int = 4, *, again: bool = False) -> Iterator[Traffic]:
        """Writes without pause while the block runs. With `again` a failed one is sent again."""
        traffic, stopping, lock = Traffic(), threading.Event(), threading.Lock()
        running = [
            threading.Thread(target=self._write, args=(traffic, stopping, lock, again), daemon=True)
            for _ in range(threads)
        ]
        for thread in running:
            thread.start()
        try:
            wait_for(lambda: len(traffic.acknowledged) > 20 or traffic.failed, "the load to begin")
            yield traffic
        finally:
            stopping.set()
            for thread in running:
                thread.join(120)

    def _write(
        self, traffic: Traffic, stopping: threading.Event, lock: threading.Lock, again: bool
    ) -> None:
        with self.client() as client:
            while not stopping.is_set():
                key = uuid.uuid4().hex
                body = f"load {key}".encode()
                failure = self._send(client, key, body)
                for _ in range(100 if again and failure else 0):
                    time.sleep(0.1)
                    failure = self._send(client, key, body)
                    if not failure:
                        break
                with lock:
                    if failure:
                        traffic.failed[failure] += 1
                    else:
                        traffic.acknowledged.add(body)

    @staticmethod
    def _send(client: httpx.Client, key: str, body: bytes) -> str:
        """Sends one batch; what went wrong, or nothing."""
        try:
            answer = client.post(WRITE, content=body, headers={**TEXT, "Idempotency-Key": key})
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        return "" if answer.status_code == 201 else f"{answer.status_code} {answer.text[:200]}"


def stored(nodes: list[EdgeNode]) -> Counter[bytes]:
    """How often each body stands on the disks of nodes."""
    found: Counter[bytes] = Counter()
    for node in nodes:
        found.update(split_entry(entry)[1] for entry in node.entries())
    return found


def _joined(issued: Issued, path: Path) -> Path:
    path.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    path.chmod(0o600)
    return path
