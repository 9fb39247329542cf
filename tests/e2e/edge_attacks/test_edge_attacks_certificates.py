"""Who may shake hands: no certificate, a wrong, expired or self-made one, an old TLS."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.authority import Issued
from tests.e2e.harness.attacks_client import Client, request, statuses
from tests.e2e.harness.attacks_edges import AttackedEdge, Papers, attacked


@pytest.fixture(scope="module")
def strict(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedEdge]:
    """An edge that wants a client certificate of everybody."""
    directory = tmp_path_factory.mktemp(kind)
    with attacked(kind, directory, tls={"client_certificates": "required"}) as found:
        yield found


def turned_away(client: Client, target: str) -> bool:
    """Whether the handshake fails, or, as NGINX does, the first request is answered with 400."""
    if client.refused(request("GET", target)):
        return True
    return statuses(client.send(request("GET", target))) == [400]


def wrong(papers: Papers, which: str) -> Issued:
    """A certificate that must open nothing."""
    made: dict[str, Callable[[], Issued]] = {
        "strangers": lambda: papers.strangers.issue("agent-7"),
        "expired": lambda: papers.expired,
        "self-made": papers.self_made,
        "fleet": papers.fleet.server,
    }
    return made[which]()


def test_the_certificate_of_the_authority_opens(strict: AttackedEdge) -> None:
    path = "/api/v1/logs?welcome"
    said = strict.client(certificate=strict.papers.good).ask("GET", path)
    (seen,) = strict.seen("welcome")
    assert said.status == 200 and seen.header("x-ssl-client-cn") == ["agent-7"]


def test_without_a_certificate_nothing_is_answered(strict: AttackedEdge) -> None:
    assert turned_away(strict.client(), "/api/v1/logs?unwanted")
    assert strict.seen("unwanted") == []


@pytest.mark.parametrize("which", ["strangers", "expired", "self-made", "fleet"])
def test_a_wrong_certificate_is_refused(which: str, strict: AttackedEdge) -> None:
    papers = strict.papers
    shown = wrong(papers, which)
    client = strict.client(certificate=shown)
    assert turned_away(client, "/api/v1/logs?unwanted")
    assert strict.seen("unwanted") == []


@pytest.mark.parametrize("which", ["strangers", "expired", "self-made"])
def test_where_none_is_needed_a_wrong_one_gives_no_name(which: str, edge: AttackedEdge) -> None:
    papers = edge.papers
    shown = wrong(papers, which)
    client = edge.client(certificate=shown)
    client.refused(request("GET", f"/api/v1/logs?nameless-{which}"))
    for seen in edge.seen(f"nameless-{which}"):
        assert "agent-7" not in seen.head.decode("latin-1")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_tls_is_refused(version: ssl.TLSVersion, edge: AttackedEdge) -> None:
    context = edge.client().tls()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError), edge.client().connection(context=context):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_new_tls_is_spoken(version: ssl.TLSVersion, edge: AttackedEdge) -> None:
    context = edge.client().tls()
    context.minimum_version = context.maximum_version = version
    with edge.client().connection(context=context) as stream:
        assert stream.version() == version.name.replace("_", ".")


@pytest.mark.parametrize("ciphers", ["NULL-SHA256", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA"])
def test_a_weak_cipher_is_refused(ciphers: str, edge: AttackedEdge) -> None:
    context = edge.client().tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(OSError), edge.client().connection(context=context):
        pass


def test_plain_http_on_the_port_of_tls_reaches_nobody(edge: AttackedEdge) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), 10) as plain:
        plain.sendall(request("GET", "/api/v1/logs?in-the-clear"))
        plain.settimeout(10)
        said = plain.recv(4096)
    assert not said or b" 400 " in said.split(b"\r\n")[0] or not said.startswith(b"HTTP")
    assert edge.seen("in-the-clear") == []


def test_nodes_are_shown_the_certificate_of_the_edge(edge: AttackedEdge) -> None:
    edge.client().ask("GET", "/api/v1/logs?whose")
    (seen,) = edge.seen("whose")
    assert seen.peer == "edge"


def test_a_node_that_is_another_gets_nothing(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who has taken the address of a node, with a certificate for another name, is not believed."""
    limits = {"answer": 3, "queue": 1}
    with attacked(kind, tmp_path_factory.mktemp(kind), limits=limits) as edge:
        for node in edge.ingest:
            node.become(edge.papers.stranger())
        said = edge.client().ask("POST", "/api/v1/logs/default/entries", body=b"betrayed")
        assert said.status in (502, 503, 504) and edge.seen("betrayed") == []
