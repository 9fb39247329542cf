"""Writing: what is answered, what stands in the log afterwards, and how each refusal looks."""

from __future__ import annotations

import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from api_parts import NAME, FailingShard, ScriptedQuery, Serve, Served, token

from muniment.access import Scope
from muniment.api import Context
from muniment.errors import Overloaded, StorageFailing
from muniment.log.checkpoint import Checkpoint

ENTRIES = "/api/v1/logs/default/entries"
TEXT = {"content-type": "text/plain"}


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, object]:
    """The answer is a problem of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, object] = answer.json()
    assert {"type", "title", "status", "detail"} <= told.keys()
    assert told["status"] == status
    assert told["type"] == f"urn:muniment:problem:{slug}"
    return told


def test_the_answer_is_a_receipt_that_the_shard_signed(
    client: httpx.Client, shard: FailingShard
) -> None:
    answer = client.post(ENTRIES, params={"as": "haproxy"}, content=b"one\ntwo\n", headers=TEXT)

    assert answer.status_code == 201
    receipt = answer.json()
    assert list(receipt) == ["log", "shard", "first", "count", "durability", "receipt"]
    assert (receipt["log"], receipt["shard"]) == ("default", NAME)
    assert (receipt["first"], receipt["count"], receipt["durability"]) == (0, 2, "local")
    assert Checkpoint.of_note(receipt["receipt"]).size == 2
    assert answer.headers["location"] == f"/api/v1/logs/default/shards/{NAME}/entries/0"
    assert shard.size == 2


def test_an_entry_is_its_receipt_header_and_the_bytes_that_arrived(
    client: httpx.Client, shard: FailingShard
) -> None:
    headers = TEXT | {"idempotency-key": "batch-7"}
    client.post(ENTRIES, params={"as": "haproxy"}, content=b"\xff raw\r", headers=headers)

    line, _, raw = shard.reader.entry(0).partition(b"\n")
    header = json.loads(line)
    assert raw == b"\xff raw\r"
    assert list(header) == ["at", "node", "via", "peer", "from", "as", "id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", header["at"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", header["peer"])
    assert (header["node"], header["via"], header["from"]) == ("test-node", "http", "local")
    assert (header["as"], header["id"]) == ("haproxy", "batch-7")
    assert line == json.dumps(header, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("text/plain", "text"),
        ("application/octet-stream", "text"),
        ("application/json", "json"),
        ("application/x-ndjson", "json"),
    ],
)
def test_a_source_that_is_not_named_follows_from_the_content_type(
    client: httpx.Client, shard: FailingShard, kind: str, source: str
) -> None:
    assert client.post(ENTRIES, content=b"{}", headers={"content-type": kind}).is_success
    assert json.loads(shard.reader.entry(0).partition(b"\n")[0])["as"] == source


def test_a_compressed_body_is_unpacked(client: httpx.Client, shard: FailingShard) -> None:
    body = gzip.compress(b"line\n" * 50_000)
    answer = client.post(ENTRIES, content=body, headers=TEXT | {"content-encoding": "gzip"})
    assert answer.json()["count"] == shard.size == 50_000


def test_chunked_bodies_are_taken(client: httpx.Client, shard: FailingShard) -> None:
    answer = client.post(ENTRIES, content=iter([b"o", b"ne\nt", b"wo"]), headers=TEXT)
    assert answer.json()["count"] == 2
    assert shard.reader.entry(1).endswith(b"\ntwo")


def test_a_repetition_gets_the_first_answer_and_adds_nothing(
    client: httpx.Client, shard: FailingShard
) -> None:
    def post(body: bytes, key: str) -> httpx.Response:
        return client.post(ENTRIES, content=body, headers=TEXT | {"idempotency-key": key})

    first = post(b"a\nb", "k")
    post(b"c", "another")
    again = post(b"a\nb", "k")

    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert shard.size == 3
    problem(post(b"a\nc", "k"), 409, "conflict")


def test_the_same_key_of_another_sender_is_another_batch(
    client: httpx.Client, context: Context, shard: FailingShard
) -> None:
    headers = TEXT | {"idempotency-key": "k"}
    client.post(ENTRIES, content=b"a", headers=headers)
    other = client.post(ENTRIES, content=b"a", headers=headers | token(context, Scope.WRITE))
    assert other.json()["first"] == 1
    assert json.loads(shard.reader.entry(1).partition(b"\n")[0])["from"] == "tester"


def test_all_or_nothing(client: httpx.Client, shard: FailingShard) -> None:
    kind = {"content-type": "application/x-ndjson"}
    told = problem(
        client.post(ENTRIES, content=b'{"a":1}\n{"b":2}\n{"c":', headers=kind), 400, "bad-input"
    )
    assert told["line"] == 3
    assert str(told["detail"]).startswith("line 3: ")
    assert told["advice"]
    assert shard.size == 0


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported-media"),
        ({}, 415, "unsupported-media"),
        (TEXT | {"content-encoding": "br"}, 415, "unsupported-media"),
        (TEXT | {"content-encoding": "gzip"}, 400, "bad-input"),
        (TEXT | {"content-encoding": "zstd"}, 400, "bad-input"),
        (TEXT | {"idempotency-key": "k" * 129}, 400, "bad-input"),
        (TEXT | {"idempotency-key": "a b"}, 400, "bad-input"),
        (TEXT | {"idempotency-key": ""}, 400, "bad-input"),
        (TEXT | {"authorization": "Bearer mun_00000000_" + "A" * 43}, 401, "unauthenticated"),
        (TEXT | {"origin": "https://evil.example"}, 403, "forbidden"),
        (TEXT | {"sec-fetch-site": "cross-site"}, 403, "forbidden"),
        (TEXT | {"host": "evil.example"}, 403, "forbidden"),
        (TEXT | {"x-forwarded-for": "192.0.2.1"}, 401, "unauthenticated"),
    ],
)
def test_a_request_that_is_refused_by_its_headers(
    client: httpx.Client, shard: FailingShard, headers: dict[str, str], status: int, slug: str
) -> None:
    problem(client.post(ENTRIES, content=b"a line", headers=headers), status, slug)
    assert shard.size == 0


@pytest.mark.parametrize(
    "asked", ["as=", "as=A", "as=a%20b", "as=" + "a" * 65, "as=a&as=b", "source=a", "as", "as=%00"]
)
def test_a_source_that_is_none(client: httpx.Client, asked: str) -> None:
    problem(client.post(f"{ENTRIES}?{asked}", content=b"x", headers=TEXT), 400, "bad-input")


@pytest.mark.parametrize("log", ["unknown", "DEFAULT", "..%2Fdefault", "%00", "a" * 3_000])
def test_a_log_that_is_not_there(client: httpx.Client, log: str) -> None:
    answer = client.post(f"/api/v1/logs/{log}/entries", content=b"x", headers=TEXT)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_over_the_bound(serve: Serve) -> None:
    served = serve(body=1_000)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        assert client.post(ENTRIES, content=b"x" * 1_000, headers=TEXT).is_success
        problem(client.post(ENTRIES, content=b"x" * 1_001, headers=TEXT), 413, "too-large")
        pieces = iter([b"x" * 600, b"x" * 600])
        problem(client.post(ENTRIES, content=pieces, headers=TEXT), 413, "too-large")
        assert client.post(ENTRIES, content=b"x", headers=TEXT).is_success


def test_a_request_that_does_not_say_how_long_it_is(served: Served) -> None:
    head = f"POST {ENTRIES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 411 ")


def test_a_full_queue_and_a_failing_disk_say_when_to_come_again(
    client: httpx.Client, context: Context, shard: FailingShard
) -> None:
    shard.refusal = Overloaded("12 bytes wait for the disk", retry_after=3)
    answer = client.post(ENTRIES, content=b"x", headers=TEXT)
    assert problem(answer, 429, "overloaded")["retry_after"] == 3
    assert answer.headers["retry-after"] == "3"

    shard.refusal = StorageFailing("No space left on device", retry_after=2)
    answer = client.post(ENTRIES, content=b"x", headers=TEXT)
    assert "No space left" in str(problem(answer, 503, "storage-failing")["detail"])
    assert answer.headers["retry-after"] == "2"

    assert context.budget.held == 0


def test_the_memory_of_all_bodies_is_bounded(serve: Serve) -> None:
    served = serve(bodies=1 << 20)
    served.context.budget.take(1 << 20)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        problem(client.post(ENTRIES, content=b"x", headers=TEXT), 429, "overloaded")
        served.context.budget.give_back(1 << 20)
        assert client.post(ENTRIES, content=b"x", headers=TEXT).is_success
    assert served.context.budget.held == 0


def test_a_log_whose_index_cannot_follow_says_when_to_come_again(
    serve: Serve, query: ScriptedQuery, shard: FailingShard
) -> None:
    served = serve(index_lag=1_000)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        query.behind = 0
        assert client.post(ENTRIES, content=b"x", headers=TEXT).is_success
        query.behind = 1_001
        answer = client.post(ENTRIES, content=b"x", headers=TEXT)
        assert "1,001 entries behind" in str(problem(answer, 429, "index-behind")["detail"])
        assert answer.headers["retry-after"] == "1"
        query.behind = None  # damaged, or not there: that is no reason to refuse evidence
        assert client.post(ENTRIES, content=b"x", headers=TEXT).is_success
    assert shard.size == 2


def test_many_writers_at_once_each_get_their_own_entries(
    client: httpx.Client, shard: FailingShard
) -> None:
    def post(number: int) -> dict[str, int]:
        body = b"%d\n" % number * (number % 3 + 1)
        found: dict[str, int] = client.post(ENTRIES, content=body, headers=TEXT).json()
        return found | {"number": number}

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(post, range(100)))

    taken: set[int] = set()
    for receipt in receipts:
        indexes = range(receipt["first"], receipt["first"] + receipt["count"])
        assert taken.isdisjoint(indexes)
        taken.update(indexes)
        for index in indexes:
            assert shard.reader.entry(index).endswith(b"\n%d" % receipt["number"])
    assert taken == set(range(shard.size))


def test_writing_needs_the_right(client: httpx.Client, context: Context) -> None:
    reader = token(context, Scope.READ)
    problem(client.post(ENTRIES, content=b"x", headers=TEXT | reader), 403, "forbidden")


def test_where_tokens_are_required_a_write_without_one_is_refused(serve: Serve) -> None:
    served = serve(required=True)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        answer = client.post(ENTRIES, content=b"x", headers=TEXT)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        writer = token(served.context, Scope.WRITE)
        assert client.post(ENTRIES, content=b"x", headers=TEXT | writer).is_success
        assert client.get("/healthz").is_success
        assert client.get("/api/v1/logs").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get(f"/tlog/default/{NAME}/checkpoint").status_code == 401
