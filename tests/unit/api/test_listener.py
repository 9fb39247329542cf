"""Listeners of their own for log protocols: one door, and nothing else behind it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from api_parts import FailingShard, make_context
from tests.authority import Authority

from muniment.access import Guard, Scope
from muniment.api import Context
from muniment.api.doors import Door
from muniment.api.listener import HttpListener
from muniment.receive.dialects import DIALECTS
from muniment.receive.sockets import bind
from muniment.receive.tls import tls_context
from muniment.settings import Address, Network

AUDIT = "/kubernetes/audit"
EVENTS = {
    "kind": "EventList",
    "apiVersion": "audit.k8s.io/v1",
    "items": [{"auditID": "a", "stage": "ResponseComplete"}],
}
Listen = Callable[..., str]


@pytest.fixture
def context(tmp_path: Path, shard: FailingShard) -> Context:
    return make_context(tmp_path, {"default": shard})


@pytest.fixture
def listen(context: Context) -> Iterator[Listen]:
    """Starts a listener for some dialects; returns its URL."""
    with ExitStack() as stack:

        def start(
            *names: str,
            required: bool = False,
            inner: str = "",
            proxies: tuple[Network, ...] = (),
            tls: ssl.SSLContext | None = None,
            connections: int = 0,
        ) -> str:
            chosen = [dialect for dialect in DIALECTS if dialect.name in names]
            guard = Guard(context.tokens, required=required)
            door = Door(guard, chosen, "default", inner, False, connections)
            bound = bind(Address("127.0.0.1", 0), socket.SOCK_STREAM)
            listener = HttpListener(bound, "kubernetes", context, door, tls=tls, proxies=proxies)
            stop, ready = asyncio.Event(), threading.Event()
            loops: list[asyncio.AbstractEventLoop] = []

            async def run() -> None:
                loops.append(asyncio.get_running_loop())
                await listener.start()
                ready.set()
                await stop.wait()
                await listener.stop()

            thread = threading.Thread(target=uvloop.run, args=(run(),))
            thread.start()
            stack.callback(thread.join, 60)
            stack.callback(lambda: loops[0].call_soon_threadsafe(stop.set))
            assert ready.wait(60)
            return f"{'https' if tls else 'http'}://{listener.address}"

        yield start


def header(shard: FailingShard, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shard.reader.entry(index).partition(b"\n")[0])
    return found


def test_its_protocol_is_taken_and_nothing_else(listen: Listen, shard: FailingShard) -> None:
    with httpx.Client(timeout=60, base_url=listen("kubernetes"), trust_env=False) as client:
        assert client.post(AUDIT, json=EVENTS).status_code == 200
        assert client.post(f"/in/default{AUDIT}", json=EVENTS).status_code == 200
        text = {"content-type": "text/plain"}
        native = client.post("/api/v1/logs/default/entries", content=b"x", headers=text)
        assert native.status_code == 404
        for path in ("/api/v1/logs", "/", "/healthz", "/metrics", "/_cluster/health", "/ready"):
            assert client.get(path).status_code in (401, 403, 404), path
        assert client.post("/_bulk", content=b"{}").status_code == 404
    assert shard.size == 1, "the second batch was the first one again"


def test_its_probes_are_answered(listen: Listen) -> None:
    with httpx.Client(timeout=60, base_url=listen("elastic", "loki"), trust_env=False) as client:
        assert "version" in client.get("/").json()
        assert client.get("/ready").status_code == 200
        assert client.get("/services/collector/health").status_code == 404


def test_its_numbers_have_a_name_of_their_own(context: Context) -> None:
    door = Door(context.guard, DIALECTS, "default", native=False)
    for name in ("loki:1", "http:2"):
        bound = bind(Address("127.0.0.1", 0), socket.SOCK_STREAM)
        listener = HttpListener(bound, name, context, door)
        assert {count.receiver for count in listener.counts} == {name}
        asyncio.run(listener.stop())


def test_tokens_are_asked_for_where_it_says_so(
    listen: Listen, context: Context, shard: FailingShard
) -> None:
    token = context.tokens.create("api-server", [Scope.WRITE])
    with httpx.Client(
        timeout=60, base_url=listen("kubernetes", required=True), trust_env=False
    ) as client:
        assert client.post(AUDIT, json=EVENTS).status_code == 401
        headers = {"authorization": f"Bearer {token}"}
        assert client.post(AUDIT, json=EVENTS, headers=headers).status_code == 200
    assert header(shard)["from"] == "api-server"


def test_the_parser_of_the_lines_inside_is_the_listeners(
    listen: Listen, shard: FailingShard
) -> None:
    with httpx.Client(
        timeout=60, base_url=listen("elastic", inner="nginx"), trust_env=False
    ) as client:
        body = b'{"create":{}}\n{"message":"a line"}\n'
        ndjson = {"content-type": "application/x-ndjson"}
        assert client.post("/_bulk", content=body, headers=ndjson).is_success
        assert client.post("/_bulk?as=haproxy", content=body, headers=ndjson).is_success
    assert [header(shard, n)["as"] for n in (0, 1)] == ["elastic/nginx", "elastic/haproxy"]


def post(url: str, before: bytes, token: str = "") -> bytes:
    """Posts over a connection that begins with these bytes; returns the whole answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps(EVENTS).encode()
    head = f"POST {AUDIT} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    head += (f"Authorization: Bearer {token}\r\n" if token else "") + "Content-Length: "
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(before + head.encode() + b"%d\r\n\r\n" % len(body) + body)
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def test_the_client_is_whom_a_trusted_balancer_names(
    listen: Listen, context: Context, shard: FailingShard
) -> None:
    proxy = b"PROXY TCP4 192.0.2.7 192.0.2.1 50312 443\r\n"
    trusted = listen("kubernetes", proxies=(ip_network("127.0.0.0/8"),))
    assert post(trusted, proxy).startswith(b"HTTP/1.1 401 "), "not the user of this machine"
    token = context.tokens.create("edge", [Scope.WRITE])
    assert post(trusted, proxy, token).startswith(b"HTTP/1.1 200 ")
    assert header(shard)["peer"] == "192.0.2.7:50312"
    assert b" 200 " not in post(trusted, b"")[:20], "a balancer has to say whom it speaks for"


def test_a_stranger_is_not_believed(listen: Listen, shard: FailingShard) -> None:
    proxy = b"PROXY TCP4 192.0.2.7 192.0.2.1 50312 443\r\n"
    assert post(listen("kubernetes"), proxy).startswith(b"HTTP/1.1 400 ")
    assert shard.size == 0


def test_a_client_certificate_gives_the_right_to_write_and_a_name(
    listen: Listen, context: Context, shard: FailingShard, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    server = authority.server()
    tls = tls_context(server.certificate, server.key, authority.certificate)
    url = listen("kubernetes", required=True, tls=tls)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    trust.load_cert_chain(*astuple(authority.issue("kube-apiserver")))
    with httpx.Client(timeout=60, base_url=url, verify=trust, trust_env=False) as client:
        assert client.post(AUDIT, json=EVENTS).status_code == 200
        token = context.tokens.create("shipper", [Scope.READ])
        headers = {"authorization": f"Bearer {token}"}
        assert client.post(AUDIT, json=EVENTS, headers=headers).status_code == 403
    assert header(shard)["from"] == "cert:kube-apiserver"
    for issued in (None, stranger.issue("kube-apiserver")):
        other = ssl.create_default_context(cafile=str(authority.certificate))
        if issued is not None:
            other.load_cert_chain(*astuple(issued))
        with (
            httpx.Client(timeout=60, base_url=url, verify=other, trust_env=False) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.post(AUDIT, json=EVENTS)
    assert shard.size == 1


def test_it_has_a_bound_of_connections_of_its_own(listen: Listen, context: Context) -> None:
    host, _, port = listen("kubernetes", connections=2).removeprefix("http://").partition(":")
    address = (host, int(port))
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        with socket.create_connection(address) as third:
            assert third.recv(100).startswith(b"HTTP/1.1 429 ")
        assert context.meters.refused_connections == 1
        assert context.meters.connections >= 2
        first.close()
        second.close()
