"""What an edge says of a client to a node cannot be said by the client."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e.harness.attacks_client import request
from tests.e2e.harness.attacks_edges import AttackedEdge
from tests.e2e.harness.attacks_http2 import ask_h2, pseudo

FORGED = "6.6.6.6"
NAMES = (
    "X-SSL-Client-CN",
    "x-ssl-client-cn",
    "X-Ssl-Client-Cn",
    "X_SSL_Client_CN",
    "X-SSL_Client-CN",
    "X-SSL-Client-DN",
    "X-SSL-Client-Verify",
    "X-SSL-Client-Cert",
    "X-Forwarded-For",
    "X_Forwarded_For",
    "X-FORWARDED-FOR",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "Forwarded",
    "Via",
    "Client-Cert",
    "Client-Cert-Chain",
    "Proxy",
)
SAID_BY_EDGE = {"x-forwarded-for", "x-ssl-client-cn", "x-forwarded-proto", "via", "forwarded"}


def path(mark: str) -> str:
    return f"/api/v1/logs/default/search?q={mark}"


@pytest.mark.parametrize("name", NAMES)
def test_a_header_from_outside_reaches_no_node(name: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    edge.client().send(request("GET", path(mark), f"{name}: {FORGED}"), seconds=5)
    for seen in edge.seen(mark):
        assert FORGED not in seen.head.decode("latin-1"), seen.head


@pytest.mark.parametrize("name", ["X-Envoy-External-Address", "X-Envoy-Original-Path"])
def test_envoy_takes_no_orders_of_its_own_kind(name: str, edge: AttackedEdge) -> None:
    if edge.kind != "envoy":
        pytest.skip("only Envoy reads these")
    test_a_header_from_outside_reaches_no_node(name, edge)


@pytest.mark.parametrize("name", ["X-SSL-Client-CN", "X-Forwarded-For"])
@pytest.mark.parametrize("form", ["{n}: {v}\r\n{n}: {v}", "{n}:{v}", "{n}: {v},{v}", "{n}:\t{v}"])
def test_no_way_to_write_it_helps(name: str, form: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    header = form.format(n=name, v=FORGED)
    edge.client(certificate=edge.papers.good).send(request("GET", path(mark), header), seconds=5)
    for seen in edge.seen(mark):
        assert FORGED not in seen.head.decode("latin-1"), seen.head
        assert seen.header("x-ssl-client-cn") == ["agent-7"]


@pytest.mark.parametrize("name", ["X-SSL-Client-CN", "X-Forwarded-For"])
def test_connection_does_not_take_off_what_the_edge_says(name: str, edge: AttackedEdge) -> None:
    """`Connection: X-SSL-Client-CN` asks a proxy to drop that header on the way."""
    mark = secrets.token_hex(8)
    sent = request("GET", path(mark)).replace(
        b"Connection: close", f"Connection: close, {name}".encode()
    )
    edge.client(certificate=edge.papers.good).send(sent, seconds=5)
    for seen in edge.seen(mark):
        assert seen.header("x-ssl-client-cn") == ["agent-7"]
        assert seen.header("x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
def test_the_address_is_one_and_the_true_one(source: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = edge.client(source).ask("GET", path(mark), f"X-Forwarded-For: {FORGED}")
    (seen,) = edge.seen(mark)
    assert said.status == 200 and seen.header("x-forwarded-for") == [source]


def test_the_name_is_that_of_the_certificate_or_none(edge: AttackedEdge) -> None:
    for mark, certificate, names in (
        ("with-a-name", edge.papers.good, ["agent-7"]),
        ("without-a-name", None, []),
    ):
        said = edge.client(certificate=certificate).ask("GET", path(mark))
        (seen,) = edge.seen(mark)
        assert said.status == 200 and seen.header("x-ssl-client-cn") in (names, names or [""])


def test_http2_says_the_same(edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    forged = [(name.lower().encode(), FORGED.encode()) for name in NAMES if "_" not in name]
    told = ask_h2(
        edge.client(certificate=edge.papers.good), pseudo(b"GET", path(mark).encode(), *forged)
    )
    for seen in edge.seen(mark):
        assert FORGED not in seen.head.decode("latin-1"), seen.head
        assert seen.header("x-ssl-client-cn") == ["agent-7"]
        assert seen.header("x-forwarded-for") == ["127.0.0.1"]
    assert told.status in (200, 400, None)


@pytest.mark.parametrize(
    "common_name",
    ["a,CN=root", "a\r\nX-Forwarded-For: 6.6.6.6", "a/CN=root", "a+CN=root", "ünïcode", 'a"b', " "],
)
def test_a_name_with_a_sting_is_one_name(common_name: str, edge: AttackedEdge) -> None:
    """A certificate may hold any text; the authority signed it, and still it is only a name."""
    mark = secrets.token_hex(8)
    shown = edge.papers.clients.issue(common_name)
    edge.client(certificate=shown).send(request("GET", path(mark)), seconds=5)
    for seen in edge.seen(mark):
        assert len(seen.header("x-ssl-client-cn")) <= 1
        assert seen.header("x-ssl-client-cn") not in (["root"], ["a"])
        assert seen.header("x-forwarded-for") == ["127.0.0.1"]
    assert [fault for node in edge.nodes for fault in node.faults] == []
