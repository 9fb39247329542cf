"""The official Elasticsearch client and its bulk helpers, through refusals and kills."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from muniment.trust.directory import verify_directory

from .harness.memory import MIB, watching
from .harness.posting import send_through_kills
from .harness.server import MunimentServer, serving, split_entry

elasticsearch = pytest.importorskip("elasticsearch", reason="elasticsearch is not installed")
from elasticsearch import helpers  # noqa: E402

MOST_RESIDENT = 400 * MIB
NDJSON = {"Content-Type": "application/x-ndjson"}
LINE = '10.0.0.9 - - [21/Nov/2026:11:00:00 +0000] "GET /healthz HTTP/1.1" 200 2 "-" "probe"'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("elastic")) as one:
        yield one


def client(server: MunimentServer, path: str = "", **more: Any) -> Any:
    """A client that tries again for a while, as one would set it for shipping logs."""
    retries = {"max_retries": 300, "retry_backoff_base": 0.05, "retry_backoff_cap": 0.5}
    return elasticsearch.Elasticsearch(server.url + path, **{**retries, **more})


def kept(entries: Iterable[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    """The entries that came over this protocol."""
    found = [split_entry(entry) for entry in entries]
    headers = [(json.loads(header), raw) for header, raw in found]
    return [(header, raw) for header, raw in headers if header["via"] == "elastic"]


def raw(server: MunimentServer, body: bytes, path: str = "/_bulk", **headers: str) -> Any:
    return server.http.post(path, content=body, headers={**NDJSON, **headers})


def test_what_the_client_asks_before_it_sends(server: MunimentServer) -> None:
    with client(server) as es:
        assert es.ping()
        assert es.info()["tagline"] == "You Know, for Search"
        assert es.cluster.health()["status"] == "green"
        assert es.license.get()["license"]["status"] == "active"
        assert es.indices.exists(index="logs")
        assert es.indices.create(index="logs")["acknowledged"]
        assert es.indices.exists_index_template(name="logs")
        assert es.indices.put_index_template(name="logs", index_patterns=["logs-*"])
        assert es.ilm.put_lifecycle(name="logs", policy={"phases": {}})["acknowledged"]
        assert es.ingest.put_pipeline(id="logs", processors=[])["acknowledged"]
        assert es.indices.refresh(index="logs")["_shards"]["failed"] == 0
        assert es.security.authenticate()["enabled"]
    with client(server, sniff_on_start=True) as es:
        assert es.ping(), "sniffing leads back to the address that was asked"
    for path in ("/in/default", "/in/default/"):  # Beats ask without the slash
        assert server.http.get(path).json()["tagline"] == "You Know, for Search"


def test_bulk_keeps_each_action_with_its_document(server: MunimentServer) -> None:
    first = server.shard()["size"]
    documents = [
        {"_index": "logs-nginx", "_id": "a1", "message": LINE},
        {"_index": "logs-nginx", "_op_type": "create", "message": "plain \u20ac", "n": 1.5},
        {"_index": "logs-nginx", "_op_type": "delete", "_id": "a0"},
    ]
    with client(server) as es:
        assert helpers.bulk(es, documents, pipeline="geo") == (3, [])
    entries = kept(server.stored(first))
    assert [entry.split(b"\n") for _, entry in entries] == [
        [
            b'{"index":{"_id":"a1","_index":"logs-nginx"}}',
            json.dumps({"message": LINE}).encode().replace(b": ", b":", 1),
        ],
        [b'{"create":{"_index":"logs-nginx"}}', '{"message":"plain \u20ac","n":1.5}'.encode()],
        [b'{"delete":{"_id":"a0","_index":"logs-nginx"}}'],
    ]
    for header, _ in entries:
        assert (header["as"], header["about"]) == ("elastic", {"pipeline": "geo"})


def test_the_answer_gives_each_document_a_place(server: MunimentServer) -> None:
    with client(server) as es:
        first = server.shard()["size"]
        found = [
            item["index"]
            for _, item in helpers.streaming_bulk(es, [{"n": n} for n in range(3)], index="made")
        ]
        single = es.index(index="made", document={"single": True})
        named = es.create(index="made", id="x/1", document={"single": True})
    shard = server.shard()["shard"]
    assert [item["_id"] for item in found] == [f"{shard}-{first + n}" for n in range(3)]
    assert [item["_seq_no"] for item in found] == list(range(first, first + 3))
    assert single["_id"] == f"{shard}-{first + 3}"
    assert (named["_id"], named["result"]) == ("x/1", "created")
    headers = [header["about"] for header, _ in kept(server.stored(first))]
    assert headers[0] == {"index": "made"}
    assert headers[4] == {"action": "create", "index": "made", "id": "x/1"}


def test_lines_inside_documents_are_read_and_ids_are_marked(server: MunimentServer) -> None:
    first = server.shard()["size"]
    with client(server) as es:
        document = {"_index": "web", "_id": "row", "message": LINE, "event": {"module": "nginx"}}
        helpers.bulk(es, [document])
    server.wait_indexed()
    (row,) = server.rows('metadata.uid:"web/row"')
    assert row["index"] == first
    assert row["http_request"]["url"]["path"] == "/healthz"


def test_a_thousand_equal_documents_stay_a_thousand(server: MunimentServer) -> None:
    before = server.shard()["size"]
    with client(server) as es:
        assert (
            helpers.bulk(es, ({"message": LINE} for _ in range(1_000)), index="equal")[0] == 1_000
        )
    found = Counter(entry for _, entry in kept(server.stored(before)))
    assert list(found.values()) == [1_000]


def test_a_document_that_comes_again_has_the_same_uid(server: MunimentServer) -> None:
    with client(server) as es:
        for _ in range(2):
            helpers.bulk(es, [{"_index": "again", "_id": "7", "message": LINE}])
    server.wait_indexed()
    assert len(list(server.rows('metadata.uid:"again/7"'))) == 2


def test_text_that_is_no_json_does_not_fail_its_batch(server: MunimentServer) -> None:
    before = server.shard()["size"]
    body = b'{"index":{}}\n\xff not JSON\n{"index":{}}\n{"message":"good"}\n'
    answer = raw(server, body, "/logs/_bulk?filter_path=errors,items.*.error,items.*.status")
    assert (
        answer.text
        == '{"errors":false,"items":[{"index":{"status":201}},{"index":{"status":201}}]}'
    )
    assert server.shard()["size"] == before + 2


def test_refusals_are_in_elasticsearchs_words(server: MunimentServer) -> None:
    before = server.shard()["size"]
    cases = [
        (raw(server, b'{"index":{}}\n{}\nno action\n'), 400, "line 3"),
        (raw(server, b""), 400, "required"),
        (raw(server, b"{}", **{"Content-Type": "application/cbor"}), 415, "application/cbor"),
        (raw(server, b"{}", **{"Content-Encoding": "br"}), 415, "br"),
        (raw(server, b"{}", "/in/nowhere/_bulk"), 404, "nowhere"),
        (raw(server, b"{}", Authorization="ApiKey wrong"), 401, ""),
        (server.http.get("/_search"), 400, "no handler"),
    ]
    for answer, status, says in cases:
        assert answer.status_code == status, answer.text
        assert answer.json()["status"] == status
        assert says in answer.json()["error"]["reason"]
        assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    assert server.shard()["size"] == before


def test_a_token_is_asked_for_and_taken_in_each_form(tmp_path: Path) -> None:
    config = '[[receive]]\nprotocol = "elastic"\nlisten = "127.0.0.1:%d"\nlog = "default"\n'
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(tmp_path, config=config % port) as server:
        url, token = f"http://127.0.0.1:{port}", server.admin_token
        good = [{"api_key": token}, {"basic_auth": ("muniment", token)}, {"bearer_auth": token}]
        for number, shown in enumerate(good):
            with elasticsearch.Elasticsearch(url, **shown) as es:
                assert es.info()["cluster_name"]
                assert helpers.bulk(es, [{"number": number}], index="tokens")[0] == 1
        with elasticsearch.Elasticsearch(url, api_key="wrong") as es:
            with pytest.raises(elasticsearch.AuthenticationException):
                es.info()
            with pytest.raises(elasticsearch.AuthenticationException):
                helpers.bulk(es, [{}], index="tokens")
        assert len(kept(server.stored())) == 3


def test_hostile_senders_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    before = server.shard()["size"]
    with watching(server.process.pid) as watch, slow_sender(server.port):
        packed = {"Content-Encoding": "gzip"}
        assert raw(server, b'{"index":{}}\n' + b"x" * 100 * MIB).status_code == 413
        assert raw(server, gzip.compress(bytes(300 * MIB)), **packed).status_code == 413
        for body in (
            b"\x00\xff" * MIB,
            b'{"index":' + b"[" * 10 * MIB,
            b'{"delete":{}}\n' * 4_000_000,
        ):
            assert raw(server, body).status_code in (400, 413, 429)
        assert server.shard()["size"] == before
        with client(server) as es:
            assert helpers.bulk(es, [{"message": "others go on"}], index="x")[0] == 1
    assert watch.peak < MOST_RESIDENT, watch


@contextlib.contextmanager
def slow_sender(port: int) -> Iterator[None]:
    """A request whose body begins and does not go on."""
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        head = "POST /_bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        slow.sendall(head.encode() + b"Content-Type: application/x-ndjson\r\n\r\n{")
        yield


class Shipper(threading.Thread):
    """Sends numbered documents with the bulk helper, in small batches, until all are answered."""

    def __init__(self, server: MunimentServer, name: str, *, ids: bool) -> None:
        super().__init__(daemon=True)
        self.documents = [
            {"_index": name, "n": n, **({"_id": f"{n}"} if ids else {})} for n in range(4_000)
        ]
        self._client = client(server, request_timeout=20, retry_on_timeout=True)
        self.answered = 0
        self.wrong: list[str] = []

    @property
    def done(self) -> bool:
        return not self.is_alive()

    def run(self) -> None:
        """Tries again on its own; what the helper gives up is kept as wrong."""
        with self._client as es:
            try:
                for good, _ in helpers.streaming_bulk(
                    es, self.documents, chunk_size=10, max_retries=50, initial_backoff=0.05
                ):
                    self.answered += good
            except Exception as error:
                self.wrong.append(repr(error))


def test_kills_in_mid_stream_lose_nothing(tmp_path: Path) -> None:
    random = Random(20_261_121)
    with serving(tmp_path) as server:
        shippers = [Shipper(server, "ids", ids=True), Shipper(server, "plain", ids=False)]
        for shipper in shippers:
            shipper.start()
        send_through_kills(server, shippers, kills=4, random=random, pause=time.sleep)
        assert [shipper.answered for shipper in shippers] == [4_000, 4_000]

        found: dict[str, Counter[int]] = {"ids": Counter(), "plain": Counter()}
        for _, entry in kept(server.stored()):
            action, document = entry.split(b"\n")
            found[json.loads(action)["index"]["_index"]][json.loads(document)["n"]] += 1
        for name, numbers in found.items():
            assert set(numbers) == set(range(4_000)), f"{name}: something is missing"
            twice = sum(numbers.values()) - 4_000
            print(f"\n{name}: {twice} documents are there twice")
            assert twice <= 4 * 10, "at most the batch under way at each kill"
        server.wait_indexed()
        marked = server.sql(
            "SELECT count(*), count(DISTINCT metadata.uid) FROM events "
            "WHERE metadata.uid LIKE 'ids/%'"
        )
        assert marked == [[sum(found["ids"].values()), 4_000]], "what came twice is marked"
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))
