"""What cannot be taken is refused whole, with an error that says what to change."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .harness.memory import MIB, watching
from .harness.server import MunimentServer, serving

MOST_RESIDENT = 400 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("bad")) as one:
        yield one


@pytest.fixture(autouse=True)
def unchanged(server: MunimentServer) -> Iterator[None]:
    """After each refusal nothing was added, and the server takes what is right."""
    before = server.shard()["size"]
    with watching(server.process.pid) as watch:
        yield
    assert server.shard()["size"] == before
    assert server.accepted(b"still here")["first"] == before
    assert watch.peak < MOST_RESIDENT, watch


def problem(answer: httpx.Response, status: int) -> dict:
    """The answer is an RFC 9457 problem of that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["title"] and told["detail"] and told["type"]
    return told


JSON_LINES = "application/x-ndjson"
LINES = b'{"a":1}\n{"a":2}\n%s\n{"a":4}\n'


@pytest.mark.parametrize(
    "third",
    [b'{"a":', b"nothing", b"[1]", b'"text"', b"3", b'{"a":"\xff"}', b'{"a":1}{"b":2}', b"{'a':1}"],
)
def test_broken_json_names_its_line(server: MunimentServer, third: bytes) -> None:
    told = problem(server.append(LINES % third, kind=JSON_LINES), 400)

    assert told["line"] == 3
    assert "line 3" in told["detail"]


def test_json_nested_without_end_is_refused(server: MunimentServer) -> None:
    deep = b'{"a":' * 6_000 + b"1" + b"}" * 6_000
    problem(server.append(LINES % deep, kind=JSON_LINES), 400)


@pytest.mark.parametrize("kind", ["text/plain", JSON_LINES])
def test_an_oversized_line_names_its_line(server: MunimentServer, kind: str) -> None:
    third = json.dumps({"a": "x" * 70_000}).encode()

    told = problem(server.append(LINES % third, kind=kind), 413)

    assert told["line"] == 3


def test_an_oversized_entry_and_an_oversized_body(server: MunimentServer) -> None:
    problem(server.append(b"x" * 65_536, kind="application/octet-stream"), 413)
    problem(server.append((b"y" * 99 + b"\n") * 200_000), 413)


@pytest.mark.parametrize(
    "kind", ["", "image/png", "application/x-www-form-urlencoded", "text", "text/html", "a" * 5_000]
)
def test_a_content_type_that_is_not_taken(server: MunimentServer, kind: str) -> None:
    told = problem(server.append(b"a line", kind=kind), 415)

    assert "application/x-ndjson" in json.dumps(told)


def test_bad_compression(server: MunimentServer) -> None:
    whole = gzip.compress(b"a line\n" * 1000)
    broken = {
        "not gzip": b"a line",
        "cut short": whole[:-9],
        "wrong checksum": whole[:-8] + bytes(4) + whole[-4:],
        "rubbish behind": whole + b"rubbish",
        "nothing": b"",
    }
    for name, body in broken.items():
        told = problem(server.append(body, Content_Encoding="gzip"), 400)
        assert told["detail"], name
    problem(server.append(b"a line", Content_Encoding="zstd"), 400)
    problem(server.append(b"a line", Content_Encoding="br"), 415)


def test_a_gzip_bomb_costs_no_more_than_its_bound(server: MunimentServer) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(8 * MIB)) for _ in range(128)) + packer.flush()
    assert len(bomb) < 2 * MIB  # and 1 GiB of zeros when it is unpacked

    problem(server.append(bomb, Content_Encoding="gzip"), 413)


def test_what_is_not_there(server: MunimentServer) -> None:
    def post(log: str) -> httpx.Response:
        return server.http.post(
            f"/api/v1/logs/{log}/entries", content=b"x", headers={"Content-Type": "text/plain"}
        )

    problem(post("unknown"), 404)
    problem(post("..%2F..%2Fetc"), 404)
    shard = server.shard()["shard"]
    problem(server.http.get(f"/api/v1/logs/default/shards/{shard}/entries/999999999"), 404)
    problem(server.http.get("/api/v1/logs/default/shards/00000000/entries/0"), 404)


@pytest.mark.parametrize("index", ["-1", "x", "9" * 30, "1.5", "0x10"])
def test_an_index_that_is_none(server: MunimentServer, index: str) -> None:
    shard = server.shard()["shard"]
    answer = server.http.get(f"/api/v1/logs/default/shards/{shard}/entries/{index}")
    assert answer.status_code in (400, 404, 422), answer.text
    problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "query", ["path:", '"open', "(a OR", "status:>=x", "nosuchfield:1", "time:yesterdayish", "a)"]
)
def test_a_query_that_cannot_be_understood_says_where(server: MunimentServer, query: str) -> None:
    told = problem(server.http.get("/api/v1/logs/default/search", params={"q": query}), 400)

    assert "column" in told["detail"], told


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1",
        "DELETE FROM events",
        "DROP TABLE events",
        "COPY events TO '{here}/events.csv'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('https://127.0.0.1/x')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT getenv('HOME')",
        "EXPORT DATABASE '{here}/all'",
        "CREATE TABLE mine AS SELECT 1",
        "INSTALL httpfs",
        "ATTACH '{here}/other.db'",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list; SELECT 1; SELECT 2",
    ],
)
def test_sql_that_is_wrong_or_reaches_out(
    server: MunimentServer, statement: str, tmp_path: Path
) -> None:
    answer = server.http.post("/api/v1/sql", json={"query": statement.format(here=tmp_path)})
    assert 400 <= answer.status_code < 500, answer.text
    problem(answer, answer.status_code)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "endless",
    [
        "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
        "SELECT list(a.range) FROM range(1000000000) a",
        "SELECT repeat('x', 300000000)",
    ],
)
def test_sql_without_end_is_stopped(server: MunimentServer, endless: str) -> None:
    answer = server.http.post("/api/v1/sql", json={"query": endless}, timeout=120)
    assert 400 <= answer.status_code < 600, answer.text
    problem(answer, answer.status_code)
    assert server.sql("SELECT 1") == [[1]]
