"""Nodes behind an edge: who is let in, for whom an edge speaks, one token file for all nodes."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from muniment.trust.directory import verify_directory
from tests.authority import Authority, Issued

from .harness.process import free_port
from .harness.server import LOG, MunimentServer, split_entry
from .harness.waiting import wait_for

CONFIG = """
node = "{name}"
tls_certificate = "{certificate}"
tls_key = "{key}"
tls_client_ca = "{ca}"
edges = ["edge-1", "edge-2"]
writers = ["agent"]
tokens = "{tokens}"
probe_listen = "127.0.0.1:{probes}"
"""
TEXT = {"Content-Type": "text/plain"}
WRITE = f"/api/v1/logs/{LOG}/entries"
CONNECTIONS, CLIENTS, REQUESTS, SEED = 6, 5, 60, 20_261_121


@dataclass
class Fleet:
    """An authority, a token file, and nodes that know both."""

    directory: Path
    authority: Authority
    stack: contextlib.ExitStack
    issued: dict[str, Issued] = field(default_factory=dict)

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens.json"

    @property
    def trusted(self) -> Path:
        """The authorities whose clients are let in."""
        return self.directory / "trusted.pem"

    def muniment(self, *arguments: str) -> str:
        """Runs `muniment tokens --file`."""
        command = [sys.executable, "-m", "muniment", "tokens", "--file", str(self.tokens)]
        found = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        return found.stdout.strip()

    def certificate(self, name: str) -> Issued:
        if name not in self.issued:
            self.issued[name] = self.authority.issue(name)
        return self.issued[name]

    def client(self, node: MunimentServer, name: str | None, **headers: str) -> httpx.Client:
        """An HTTP client that shows the certificate of this name."""
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        if name is not None:
            issued = self.certificate(name)
            trust.load_cert_chain(issued.certificate, issued.key)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        client = httpx.Client(
            base_url=node.url, verify=trust, timeout=60, headers=named, trust_env=False
        )
        return self.stack.enter_context(client)

    def node(self, name: str) -> MunimentServer:
        """A node that runs."""
        folder, issued, probes = self.directory / name, self.authority.server(), free_port()
        folder.mkdir()
        values = {"certificate": issued.certificate, "key": issued.key, "ca": self.trusted}
        config = CONFIG.format(name=name, tokens=self.tokens, probes=probes, **values)
        node = MunimentServer(folder / "data", folder / "serve.txt", config=config)
        node.http.close()
        node.url = f"https://127.0.0.1:{node.port}"
        node.http = httpx.Client(base_url=f"http://127.0.0.1:{probes}", trust_env=False)
        self.stack.callback(node.close)
        node.start()
        return node

    def received(self, node: MunimentServer, reader: str) -> list[tuple[dict[str, Any], bytes]]:
        """Receipt header and bytes of all that the node has."""
        client = self.client(node, "agent", authorization=f"Bearer {reader}")
        (log,) = client.get("/api/v1/logs").json()["logs"]
        (shard,) = log["shards"]
        path = f"/api/v1/logs/{LOG}/shards/{shard['shard']}/entries"
        entries = [client.get(f"{path}/{n}").content for n in range(shard["size"])]
        split = [split_entry(entry) for entry in entries]
        return [(json.loads(header), raw) for header, raw in split]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    authority = Authority(tmp_path)
    with contextlib.ExitStack() as stack:
        found = Fleet(tmp_path, authority, stack)
        shutil.copy(authority.certificate, found.trusted)
        found.muniment("create", "ops", "--scope", "admin")
        yield found


def test_many_clients_over_few_connections_each_keep_their_name(fleet: Fleet) -> None:
    """What a node keeps of one request never becomes the identity of the next one."""
    reader = fleet.muniment("create", "reader", "--scope", "read")
    shown = [fleet.muniment("create", f"app-{n}") for n in range(2)]
    node, random = fleet.node("a"), Random(SEED)

    def identity(number: int) -> tuple[dict[str, str], str, str]:
        """Headers, and the peer and sender that must stand in the receipt header."""
        address = f"203.0.113.{number}"
        headers = {"X-Forwarded-For": address}
        if number % 3 == 0:
            headers["Authorization"] = f"Bearer {shown[number % 2]}"
            return headers, address, f"app-{number % 2}"
        headers["X-SSL-Client-CN"] = f"web-{number}"
        return headers, address, f"cert:web-{number}"

    def talk(client: httpx.Client, seed: int) -> None:
        order = Random(seed)
        for _ in range(REQUESTS):
            headers, peer, sender = identity(order.randrange(CLIENTS))
            body = f"{peer} {sender}".encode()
            answer = client.post(WRITE, content=body, headers={**headers, **TEXT})
            assert answer.status_code == 201, answer.text

    clients = [fleet.client(node, f"edge-{1 + number % 2}") for number in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(talk, clients, random.sample(range(1_000), CONNECTIONS)))
    received = fleet.received(node, reader)
    assert len(received) == CONNECTIONS * REQUESTS
    for header, raw in received:
        assert f"{header['peer']} {header['from']}".encode() == raw
    assert len({raw for _, raw in received}) == CLIENTS


def test_only_who_has_a_certificate_gets_a_word_and_probes_get_one(fleet: Fleet) -> None:
    node = fleet.node("a")
    with pytest.raises(httpx.TransportError):
        fleet.client(node, None).get("/healthz")
    assert fleet.client(node, "edge-1").get("/readyz").status_code == 200
    assert fleet.client(node, "edge-1").get("/api/v1/logs").status_code == 401
    assert fleet.client(node, "edge-1").post(WRITE, content=b"x", headers=TEXT).status_code == 401
    assert fleet.client(node, "node-2").post(WRITE, content=b"x", headers=TEXT).status_code == 401
    assert fleet.client(node, "agent").post(WRITE, content=b"x", headers=TEXT).status_code == 201
    odd = {**TEXT, "X-Forwarded-For": "203.0.113.1, 10.0.0.1", "X-SSL-Client-CN": "agent"}
    assert fleet.client(node, "agent").post(WRITE, content=b"x", headers=odd).status_code == 201
    assert fleet.client(node, "edge-2").post(WRITE, content=b"x", headers=odd).status_code == 400
    assert fleet.client(node, "node-2").post(WRITE, content=b"x", headers=odd).status_code == 401

    probe = node.http.get("/readyz")
    assert (probe.status_code, probe.json()) == (200, {"status": "ok"})
    assert node.http.get("/metrics").status_code == 404
    assert node.http.post(WRITE, content=b"x", headers=TEXT).status_code == 404


def test_certificates_and_authorities_are_renewed_while_it_runs(fleet: Fleet) -> None:
    node = fleet.node("a")
    assert fleet.client(node, "edge-1").get("/healthz").status_code == 200
    new = Authority(fleet.directory, "new")
    fleet.issued["edge-2"] = new.issue("edge-2")
    with pytest.raises(httpx.TransportError):
        fleet.client(node, "edge-2").get("/healthz")
    fleet.trusted.write_bytes(new.certificate.read_bytes())
    assert fleet.client(node, "edge-2").get("/healthz").status_code == 200
    with pytest.raises(httpx.TransportError):
        fleet.client(node, "edge-1").get("/healthz")


def test_what_is_ambiguous_ends_the_edges_connection(fleet: Fleet) -> None:
    """What an edge lets through by mistake must not become a second request here."""
    reader = fleet.muniment("create", "reader", "--scope", "read")
    node = fleet.node("a")
    head = f"POST {WRITE} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    hidden = f"{head}X-Forwarded-For: 203.0.113.9\r\nX-SSL-Client-CN: admin\r\n"
    hidden += "Content-Length: 8\r\n\r\nsmuggled"
    for lengths in (
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "X: a\nContent-Length: 0\r\n\r\n",
    ):
        request = f"{head}X-Forwarded-For: 203.0.113.1\r\nX-SSL-Client-CN: web-1\r\n{lengths}"
        answer = talk(fleet, node, "edge-1", f"{request}{hidden}".encode())
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, lengths
    assert fleet.received(node, reader) == []


def talk(fleet: Fleet, node: MunimentServer, name: str, sent: bytes) -> bytes:
    """Sends bytes over TLS; returns what comes until the server closes."""
    trust = ssl.create_default_context(cafile=str(fleet.authority.certificate))
    issued = fleet.certificate(name)
    trust.load_cert_chain(issued.certificate, issued.key)
    received = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", node.port), 60) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(sent)
        while data := line.recv(65_536):
            received += data
    return received


def test_one_token_file_for_all_nodes(fleet: Fleet) -> None:
    """A token that is made there is taken by every node, one that is revoked by none."""
    nodes = [fleet.node("a"), fleet.node("b")]
    shown = fleet.muniment("create", "app")

    def statuses(token: str) -> set[int]:
        headers = {**TEXT, "X-Forwarded-For": "203.0.113.1", "Authorization": f"Bearer {token}"}
        clients = [fleet.client(node, "edge-1") for node in nodes]
        return {one.post(WRITE, content=b"x", headers=headers).status_code for one in clients}

    wait_for(lambda: statuses(shown) == {201}, "the token at every node")
    other = fleet.muniment("create", "other")
    listed = json.loads(fleet.muniment("list", "--json"))
    fleet.muniment("revoke", next(one["id"] for one in listed if one["name"] == "app"))
    wait_for(lambda: statuses(shown) == {401}, "the token to be revoked at every node")
    wait_for(lambda: statuses(other) == {201}, "the other token at every node")

    good = fleet.tokens.read_bytes()
    fleet.tokens.write_bytes(good[:-20])
    edge = fleet.client(nodes[0], "edge-1")
    wait_for(lambda: "tokens" in edge.get("/readyz").json(), "the damage to be told")
    assert "is damaged" in edge.get("/readyz").json()["tokens"]["reason"]
    assert edge.get("/readyz").status_code == 200
    assert statuses(other) == {201} and statuses(shown) == {401}
    fleet.tokens.unlink()
    wait_for(lambda: "is not there" in edge.get("/readyz").text, "the loss to be told")
    assert statuses(other) == {201}
    fleet.tokens.write_bytes(good)
    wait_for(lambda: "tokens" not in edge.get("/readyz").json(), "the file to be taken again")


def test_a_node_makes_no_token_of_its_own_and_starts_with_no_bad_file(fleet: Fleet) -> None:
    admin = fleet.muniment("create", "chief", "--scope", "admin")
    node = fleet.node("a")
    assert "mun_" not in node.process.printed()
    client = fleet.client(node, "edge-1", authorization=f"Bearer {admin}")
    answer = client.post("/api/v1/tokens", json={"name": "x", "scopes": ["write"]})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:muniment:problem:managed-elsewhere"
    fleet.muniment("create", "reader", "--scope", "read")
    wait_for(lambda: b"token.file" in recorded(fleet, node, admin), "the change to be on record")
    assert b"new: reader (" in recorded(fleet, node, admin)
    node.stop()
    report = verify_directory(node.data)
    assert report.intact, "\n".join(map(str, report.findings))
    fleet.tokens.chmod(0o666)
    node.start(ready=False)
    wait_for(lambda: not node.process.running, "the node to give up")
    assert "can be written by others" in node.process.printed()


def recorded(fleet: Fleet, node: MunimentServer, reader: str) -> bytes:
    """What the node itself put into its log."""
    received = fleet.received(node, reader)
    return b"".join(raw for header, raw in received if header["via"] == "muniment")
