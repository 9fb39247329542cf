"""The cache: only what never changes, only for whom a node lets read, never under another name.

The nodes here count: every answer of theirs is another one, and says that it lasts for ever. What
an edge answers twice alike came from its cache.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.harness.attacks_client import Said, request
from tests.e2e.harness.attacks_edges import AttackedEdge, attacked
from tests.e2e.harness.attacks_recorder import Seen, say

ENTRY = "/api/v1/logs/default/shards/f52943dc/entries/"
TILE = "/tlog/default/f52943dc/tile/0/x001/"
LASTS = "Cache-Control: private, max-age=31536000, immutable"
TENANT = "Authorization: Bearer mun_0a0b0c0d_first"
OTHER = "Authorization: Bearer mun_0e0f0a0b_second"


@pytest.fixture(scope="module")
def counting(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedEdge]:
    """An edge in front of a query node that never says the same twice."""
    with attacked(kind, tmp_path_factory.mktemp(kind)) as found:
        count = itertools.count()

        def answer(one: Seen) -> bytes:
            refused = one.header("authorization") == ["Bearer wrong"]
            body = f"{next(count)} of {one.target}".encode()
            kind = "Content-Type: application/octet-stream"
            return say(401, b"who?") if refused else say(200, body, kind, LASTS)

        found.query.answer = answer
        yield found


def twice(edge: AttackedEdge, path: str, *headers: str) -> tuple[Said, Said]:
    client = edge.client()
    return client.ask("GET", path, *headers), client.ask("GET", path, *headers)


def asked_by(edge: AttackedEdge, authorization: str | None) -> int:
    """How often the node was asked by a caller, whether for the answer or for leave to give it."""
    shown = [] if authorization is None else [authorization]
    return sum(
        one.target != "/readyz"
        and one.header("authorization") == shown
        and one.header("x-ssl-client-cn") in ([], [""])
        for one in edge.query.seen
    )


def some() -> str:
    """A number that no other test has."""
    return str(secrets.randbelow(10**9))


def tile() -> str:
    return f"{TILE}{secrets.randbelow(900) + 100}"


@pytest.mark.parametrize(
    "path",
    [
        "/tlog/default/f52943dc/checkpoint",
        "/tlog/default/f52943dc/pruned",
        "/api/v1/logs",
        "/api/v1/logs/default/search?q=same",
        "/api/v1/logs/default/histogram?q=same",
        f"{ENTRY}7/proof",
        "/api/v1/logs/default/history?object=a",
        "/openapi.json",
    ],
)
def test_what_may_change_is_asked_for_each_time(path: str, counting: AttackedEdge) -> None:
    """Though the node itself says that it lasts for ever."""
    first, second = twice(counting, path)
    assert first.status == 200 and first.body != second.body


def test_what_lasts_is_kept_where_the_edge_keeps_anything(counting: AttackedEdge) -> None:
    path = ENTRY + some()
    first, second = twice(counting, path, TENANT)
    assert first.status == second.status == 200
    assert (first.body == second.body) == (counting.kind != "envoy"), "Envoy keeps nothing"


@pytest.mark.parametrize("path", [ENTRY, TILE], ids=["entry", "tile"])
def test_another_tenant_gets_nothing_before_a_node_was_asked(
    path: str, counting: AttackedEdge
) -> None:
    path += str(secrets.randbelow(900) + 100)
    client = counting.client()
    client.ask("GET", path, TENANT)
    for header in (OTHER, "Authorization: Basic bXVuXzA6eA=="):
        before = asked_by(counting, header.partition(": ")[2])
        assert client.ask("GET", path, header).status == 200
        assert asked_by(counting, header.partition(": ")[2]) > before


def test_a_token_that_a_node_refuses_gets_nothing_from_the_cache(counting: AttackedEdge) -> None:
    path = ENTRY + some()
    twice(counting, path, TENANT)
    assert counting.client().ask("GET", path, "Authorization: Bearer wrong").status == 401
    assert counting.client().ask("GET", path, TENANT).status == 200


def test_a_certificate_is_another_caller_than_none(counting: AttackedEdge) -> None:
    path = ENTRY + some()
    counting.client(certificate=counting.papers.good).ask("GET", path)
    before = asked_by(counting, None)
    counting.client().ask("GET", path)
    assert asked_by(counting, None) > before


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-For: 6.6.6.6",
        "X-SSL-Client-CN: root",
        "X-Original-URL: /api/v1/logs",
        "Range: bytes=0-0",
        "If-None-Match: *",
        "Accept-Encoding: gzip",
    ],
)
def test_a_header_poisons_nothing(header: str, counting: AttackedEdge) -> None:
    """Who comes first with an odd header does not decide what the next one gets."""
    path = ENTRY + some()
    counting.client().send(request("GET", path, TENANT, header), seconds=5)
    said = counting.client().ask("GET", path, TENANT)
    assert said.status == 200 and said.body.endswith(f"of {path}".encode())


def test_a_query_is_another_question(counting: AttackedEdge) -> None:
    path = ENTRY + some()
    plain = counting.client().ask("GET", path, TENANT)
    for query in ("?a=1", "?a=2"):
        first, second = twice(counting, path + query, TENANT)
        assert first.body not in (plain.body, second.body)


def test_the_cache_cannot_be_asked_by_its_own_key(counting: AttackedEdge) -> None:
    """HAProxy's key of an entry is a hash in the query: nobody can write it there from outside."""
    path = ENTRY + some()
    first = counting.client().ask("GET", path, TENANT)
    (seen,) = [one for one in counting.query.seen if path in one.target]
    assert seen.target == path, "the node sees the path alone"
    assert counting.client().ask("GET", f"{path}?{'a' * 64}", TENANT).body != first.body


def test_a_head_does_not_empty_the_answer_of_a_get(counting: AttackedEdge) -> None:
    path = ENTRY + some()
    counting.client().send(request("HEAD", path, TENANT), seconds=2)
    said = counting.client().ask("GET", path, TENANT)
    assert said.status == 200 and said.body.endswith(f"of {path}".encode())


@pytest.mark.parametrize("form", ["{0}%20", "{0};a=b", "{0}/", "{0}.css", "{0}%2ecss", "/x/..{0}"])
def test_an_odd_path_is_not_kept_under_the_plain_one(form: str, counting: AttackedEdge) -> None:
    path = ENTRY + some()
    counting.client().send(request("GET", form.format(path), TENANT), seconds=5)
    said = counting.client().ask("GET", path, TENANT)
    assert said.status == 200 and said.body.endswith(f"of {path}".encode())


@pytest.mark.parametrize("tail", ["a.css", "x.js", "..;/1", "1?x.css", "checkpoint"])
def test_a_search_with_the_name_of_a_file_is_not_kept(tail: str, counting: AttackedEdge) -> None:
    mark = secrets.token_hex(4)
    said = [
        counting.client(source).send(
            request("GET", f"/api/v1/logs/default/search/{tail}&{mark}", TENANT), seconds=5
        )
        for source in ("127.0.0.1", "127.0.0.2")
    ]
    bodies = [one.body for answers in said for one in answers if one.status == 200]
    assert len(set(bodies)) == len(bodies)
