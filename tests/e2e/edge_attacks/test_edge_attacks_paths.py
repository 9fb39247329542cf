"""Methods and paths that would go around the rules: reads of what is written, what is inside."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.harness.attacks_client import request, statuses
from tests.e2e.harness.attacks_edges import AttackedEdge, attacked
from tests.e2e.harness.waiting import wait_for

ENTRIES = "/api/v1/logs/default/entries"
SHARD = "/api/v1/logs/default/shards/f52943dc/entries/0"
REFUSED = {400, 403, 404, 405, 501}


@pytest.fixture(scope="module")
def inner(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedEdge]:
    """An edge whose inner paths only 127.0.0.5 may ask for."""
    allow = {"admin": ["127.0.0.5/32"]}
    with attacked(kind, tmp_path_factory.mktemp(kind), allow=allow) as found:
        yield found


def test_writes_go_to_those_who_take_them_and_reads_to_those_who_answer(edge: AttackedEdge) -> None:
    def both_take_their_part() -> bool:
        edge.client().ask("POST", ENTRIES, "Content-Type: text/plain", body=b"split-again")
        return all(node.of("split-") for node in edge.ingest)

    for number in range(8):
        edge.client().ask("POST", ENTRIES, "Content-Type: text/plain", body=b"split-%d" % number)
        edge.client().ask("GET", f"/api/v1/logs/default/search?q=apart-{number}")
    wait_for(both_take_their_part, "both to take their part", 30)
    assert edge.query.of("split-") == [] and len(edge.query.of("apart-")) == 8
    assert [one for node in edge.ingest for one in node.of("apart-")] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_path_of_writes_is_only_posted_to(method: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = edge.client().send(request(method, f"{ENTRIES}?{mark}"))
    assert set(statuses(said)) <= REFUSED, said
    assert edge.seen(mark) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PURGE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["/api/v1/logs/default/search", SHARD, "/tlog/default/a/checkpoint"]
)
def test_a_path_of_reads_is_only_read(method: str, path: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = edge.client().send(request(method, f"{path}?{mark}"), seconds=5)
    assert set(statuses(said)) <= REFUSED, said
    assert edge.seen(mark) == []


@pytest.mark.parametrize(
    "method", ["CONNECT", "post", "Get", "GETT", "G3T", "PRI", "JEFF", "M-SEARCH", "\x01GET"]
)
def test_an_odd_method_reaches_no_node(method: str, edge: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = edge.client().send(request(method, f"{ENTRIES}?{mark}"), seconds=5)
    assert set(statuses(said)) <= REFUSED, said
    assert edge.seen(mark) == []


def test_connect_opens_no_tunnel(edge: AttackedEdge) -> None:
    port = edge.nodes[0].port
    sent = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    assert set(statuses(edge.client().send(sent, seconds=5))) <= REFUSED


ROUNDABOUT = (
    "//api/v1/logs/default/entries",
    "/api//v1/logs/default/entries",
    "/api/v1/logs/default//entries",
    "/api/v1/logs/default/entries/",
    "/api/v1/logs/default/./entries",
    "/api/v1/logs/default/search/../entries",
    "/api/v1/logs/default/search/%2e%2e/entries",
    "/api/v1/logs/default/search/%2E%2E/entries",
    "/api/v1/logs/default/search/.%2e/entries",
    "/api/v1/logs/default/search%2f..%2fentries",
    "/api/v1/logs/default/search/..%2fentries",
    "/api/v1/logs/default/search/..%5centries",
    "/api/v1/logs/default/search/..\\entries",
    "/api/v1/logs/default/search/..;/entries",
    "/api/v1/logs/default/entries;x",
    "/api/v1/logs/default/%65ntries",
    "/api/v1/logs/default/%2565ntries",
    "/api/v1/logs/default/entries%00",
    "/api/v1/logs/default/entries%20",
    "/api/v1/logs/default/entries%0d%0aX-A:%20b",
    "/api/v1/logs/default/entries%3fx",
    "/api/v1/logs/default/entries#x",
    "/API/V1/logs/default/entries",
    "/api/v1/logs/default%2fentries",
    "/api/v1/logs/%2e%2e/logs/default/entries",
    "/./api/v1/logs/default/entries",
    "/tlog/../api/v1/logs/default/entries",
)


@pytest.mark.parametrize("path", ROUNDABOUT)
def test_no_way_around_leads_a_read_to_writes_or_to_the_wrong_node(
    path: str, edge: AttackedEdge
) -> None:
    """What an edge took for a read, a node must not take for a write, nor the other way round."""
    mark = secrets.token_hex(8)
    for method, wrong in (("GET", edge.ingest), ("POST", [edge.query])):
        edge.client().send(request(method, f"{path}?{mark}{method}"), seconds=5)
        for node in wrong:
            assert node.of(mark + method) == []
    for seen in edge.seen(mark):
        asked = seen.target.partition("?")[0]
        assert seen.method == "POST" and asked == ENTRIES, f"{path} became {asked}"


INNER = ("/metrics", "/api/v1/tokens", "/api/v1/node")


@pytest.mark.parametrize("path", INNER)
def test_what_is_inside_is_for_those_inside(path: str, inner: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = inner.client("127.0.0.6").ask("GET", f"{path}?{mark}")
    assert said.status in (403, 404), said
    assert inner.seen(mark) == []


@pytest.mark.parametrize("path", INNER)
@pytest.mark.parametrize(
    "form",
    [
        "/{0}",
        "/.{0}",
        "/x/..{0}",
        "/x/%2e%2e{0}",
        "/api/v1/../..{0}",
        "{0}/",
        "{0};x",
        "{0}%20",
        "{0}%00",
        "{0}/.",
        "{0}//",
        "/%2f{0}",
        "{1}",
        "{0}%23",
        "/healthz/..{0}",
        "{0}\t",
    ],
)
def test_no_way_around_leads_inside(form: str, path: str, inner: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    encoded = "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:])
    sent = request("GET", f"{form.format(path, encoded)}?{mark}")
    inner.client("127.0.0.6").send(sent, seconds=5)
    assert inner.seen(mark) == []


@pytest.mark.parametrize(
    "target", ["http://muniment.test{0}", "https://localhost{0}", "HTTP://a{0}"]
)
@pytest.mark.parametrize("path", INNER)
def test_an_absolute_target_is_judged_by_its_path(
    target: str, path: str, inner: AttackedEdge
) -> None:
    mark = secrets.token_hex(8)
    inner.client("127.0.0.6").send(request("GET", f"{target.format(path)}?{mark}"), seconds=5)
    assert inner.seen(mark) == []


def test_segments_are_not_for_the_outside(inner: AttackedEdge) -> None:
    """What mirrors pull goes between nodes, never through the edge."""
    path = "/api/v1/logs/default/shards/f52943dc/segments"
    for tail in ("", "/0", "/0.seg"):
        said = inner.client("127.0.0.6").ask("GET", f"{path}{tail}?pulled")
        assert said.status in (403, 404), said
    assert inner.seen("pulled") == []


def test_a_host_of_loopback_is_not_believed(edge: AttackedEdge) -> None:
    """A node trusts names of loopback where it needs no tokens: it must see that this came far."""
    for host in ("localhost", "127.0.0.1", "[::1]"):
        mark = secrets.token_hex(8)
        edge.client().send(request("GET", f"/api/v1/logs?{mark}", host=host), seconds=5)
        for seen in edge.seen(mark):
            assert seen.header("x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/logs/default/holds"),
        ("POST", "/api/v1/logs/default/holds"),
        ("DELETE", "/api/v1/logs/default/holds/case-7"),
        ("GET", "/api/v1/logs/default/retention"),
        ("GET", "/api/v1/stores"),
        ("GET", "/api/v1/stores/archive/worm"),
    ],
)
def test_no_node_that_writes_speaks_for_the_others(
    method: str, path: str, edge: AttackedEdge
) -> None:
    """A hold that one of two nodes placed would be taken for one on the whole log."""
    mark = secrets.token_hex(8)
    said = edge.client().ask(method, f"{path}?{mark}", body=b"{}" if method == "POST" else b"")
    assert said.status == 403
    assert b"ask the nodes themselves" in said.body
    assert edge.seen(mark) == []
