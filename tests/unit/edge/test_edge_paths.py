"""Every path that the reference names goes where it belongs, and nothing else goes through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from muniment.edge.nginx import with_methods
from muniment.edge.paths import CLASSES, INNER, NEEDLESS, OF_LOG, PathClass

HTTP = Path(__file__).parents[3] / "docs" / "reference" / "http.md"
VALUES = {"log": "eu-log", "shard": "f52943dc", "index": "17", "level": "0", "tile": "x001/234"}
VALUES |= {"digest": "9f" * 32, "trace": "4bf92f", "name": "primary", "id": "0011aabb"}
VALUES |= {"hold": "case-7"}
OWN = {"/healthz", "/readyz", "/metrics"}
BETWEEN_NODES = ("/api/v1/node", "/api/v1/segments", "/api/v1/mirrors")


def found(method: str, path: str) -> PathClass | None:
    """The class of a request, as a balancer finds it."""
    if re.search(INNER, path):
        return None
    return next(
        (one for one in CLASSES if method in one.methods and re.search(one.pattern, path)), None
    )


def documented() -> list[tuple[str, str]]:
    text = HTTP.read_text()
    named = re.findall(r"^### `([A-Z]+) (/\S*)`$", text, re.MULTILINE)
    assert len(named) > 20
    return [
        (method, re.sub(r"\{(\w+)\}", lambda m: VALUES[m[1]], path))
        for method, path in named
        if path not in OWN and not path.startswith(BETWEEN_NODES) and "segments" not in path
    ]


@pytest.mark.parametrize(("method", "path"), documented(), ids=" ".join)
def test_every_endpoint_of_the_reference_goes_through(method: str, path: str) -> None:
    one = found(method, path)
    assert one is not None
    if one.lasting:
        assert "/tile/" in path or re.search(r"/entries/[0-9]+$", path)
    if method != "GET" and one.name != "sql":
        assert one.role == "ingest"
        assert one.kind in ("write", "admin")
    if one.kind == "read":
        assert one.role == "query"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/logs", "push"),
        ("POST", "/in/eu-log/v1/logs", "push"),
        ("POST", "/loki/api/v1/push", "push"),
        ("POST", "/_bulk", "bulk"),
        ("PUT", "/logs-2026/_doc/17", "bulk"),
        ("POST", "/in/eu-log/idx/_bulk", "bulk"),
        ("POST", "/services/collector/ack", "collector"),
        ("GET", "/services/collector/health/1.0", "collector"),
        ("GET", "/_license", "probe"),
        ("GET", "/in/eu-log/ready", "probe"),
        ("HEAD", "/logs-2026", "index"),
        ("GET", "/", "page"),
        ("GET", "/changes.html", "page"),
        ("GET", "/js/changes/main.js", "static"),
        ("GET", "/openapi.json", "page"),
        ("HEAD", "/tlog/a/b/tile/entries/x001/000.p/17", "tile"),
    ],
)
def test_other_protocols_go_through(method: str, path: str, name: str) -> None:
    one = found(method, path)
    assert one is not None
    assert one.name == name
    assert re.search(with_methods(one), f"{method}:{path}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("HEAD", "/metrics"),
        ("GET", "/api/v1/node"),
        ("GET", "/api/v1/segments/default/abc"),
        ("GET", "/api/v1/logs/EU/search"),
        ("GET", "/api/v1/logs/a/shards/b/entries/1/nothing"),
        ("TRACE", "/"),
        ("DELETE", "/logs-2026"),
        ("GET", "/logs-2026/_search"),
    ],
)
def test_nothing_else_goes_through(method: str, path: str) -> None:
    assert found(method, path) is None


@pytest.mark.parametrize(
    "path",
    ["/%69n/a", "/a%2fb", "/a%2F", "/a//b", "/a/../b", "/a/.", "/a%00", "/a%", "/a%zz", "/a\\b"]
    + [f"/%{ord(c):02x}" for c in "azAZ09-._~"]
    + [f"/%{ord(c):02X}" for c in "jkozJKOZ"],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str) -> None:
    assert re.search(NEEDLESS, path)


@pytest.mark.parametrize("path", ["/a%20b", "/%3Clog%3E", "/a%C3%A9", "/a.b/c", "/x...y", "/a%40b"])
def test_an_ordinary_path_is_not(path: str) -> None:
    assert not re.search(NEEDLESS, path)


def test_the_log_of_a_path_is_found() -> None:
    for path in ("/api/v1/logs/eu-log/entries", "/tlog/eu-log/a/checkpoint", "/in/eu-log/_bulk"):
        log = re.search(OF_LOG, path)
        assert log is not None
        assert log[1] == "eu-log"
    assert re.search(OF_LOG, "/v1/logs") is None


def test_what_may_be_cached_never_changes() -> None:
    assert [one.name for one in CLASSES if one.lasting] == ["tile", "entry"]
    for path in (
        "/tlog/a/b/checkpoint",
        "/api/v1/logs/a/search",
        "/api/v1/logs/a/shards/b/entries/1/proof",
    ):
        one = found("GET", path)
        assert one is not None
        assert not one.lasting
        assert not one.static
