"""CloudEvents made by the CloudEvents SDK, in all three modes, through refusals and kills."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from muniment.trust.directory import verify_directory

from .harness.memory import MIB, watching
from .harness.posting import Post, Sender, send_through_kills, session
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

pytest.importorskip("cloudevents.core", reason="the CloudEvents SDK 2 is not installed")
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

PATH = "/cloudevents"
BATCH = {"content-type": "application/cloudevents-batch+json"}
SAME = {"action": "certificate.update", "actor": "alice", "resource": "edge/www"}
MOST_RESIDENT = 400 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("cloudevents")) as one:
        yield one


def event(id_: str, data: object = SAME, source: str = "/edge/certs", **more: object) -> CloudEvent:
    kind = "text/plain" if isinstance(data, str) else "application/json"
    return CloudEvent(
        {
            "id": id_,
            "source": source,
            "type": "test.certificate.renewed",
            "time": datetime(2026, 11, 20, 23, 6, 18, tzinfo=UTC),
            "datacontenttype": kind,
            **more,
        },
        data,
    )


def binary(one: CloudEvent) -> Post:
    message = binding.to_binary_event(one)
    return Post(PATH, message.headers, message.body)


def structured(one: CloudEvent) -> Post:
    message = binding.to_structured_event(one)
    return Post(PATH, message.headers, message.body)


def batched(*events: CloudEvent) -> Post:
    return Post(PATH, BATCH, b"[" + b",".join(JSONFormat().write(one) for one in events) + b"]")


def post(server: MunimentServer, one: Post):
    with session(tries=0) as client:
        return client.post(server.url + one.path, data=one.body, headers=one.headers, timeout=60)


def rows_of(server: MunimentServer, source: str, count: int) -> list[dict]:
    rows: list[dict] = []

    def arrived() -> bool:
        rows[:] = server.rows(f'metadata.log_name:"{source}"')
        return len(rows) >= count

    wait_for(arrived, lambda: f"{count} rows of {source}, there are {len(rows)}")
    return rows


def test_each_mode_keeps_the_bytes_and_fills_the_same_fields(server: MunimentServer) -> None:
    first = server.shard()["size"]
    source = "/modes"
    sent = [
        binary(event("b \u20ac", source=source, subject="Euro \u20ac")),
        structured(event("s", source=source)),
        batched(event("b1", source=source), event("b2", "some text", source=source)),
    ]
    for one in sent:
        assert post(server, one).status_code == 204

    entries = [split_entry(entry) for entry in server.stored(first)]
    texts = [JSONFormat().write(event("b1", source=source)).decode()]
    assert [raw for _, raw in entries][:2] == [sent[0].body, sent[1].body]
    assert entries[2][1].decode() == texts[0]
    about = json.loads(entries[0][0])["about"]
    assert (about["id"], about["subject"]) == ("b \u20ac", "Euro \u20ac")
    assert {json.loads(header)["via"] for header, _ in entries} == {"cloudevents"}

    rows = {row["metadata"]["uid"]: row for row in rows_of(server, source, 4)}
    assert set(rows) == {f"{source} {id_}" for id_ in ("b \u20ac", "s", "b1", "b2")}
    for id_ in ("b \u20ac", "s", "b1"):
        expected = {"class_uid": 6003, "actor.user.name": "alice", "parse_error": None}
        expected |= {"metadata.event_code": "test.certificate.renewed", "via": "cloudevents"}
        assert_fields(rows[f"{source} {id_}"], expected)
    assert_fields(rows[f"{source} b2"], {"class_uid": 0, "message": "some text"})


def test_a_thousand_equal_events_stay_a_thousand(server: MunimentServer) -> None:
    source = "/equal"
    for start in range(0, 1_000, 250):
        many = [event(f"e{number}", source=source) for number in range(start, start + 250)]
        assert post(server, batched(*many)).status_code == 204
    assert len(rows_of(server, source, 1_000)) == 1_000


def test_an_event_that_is_sent_again_is_there_once(server: MunimentServer) -> None:
    source = "/again"
    for make in (binary, structured, batched):
        one = make(event(make.__name__, source=source))
        before = server.shard()["size"]
        assert [post(server, one).status_code for _ in range(3)] == [204] * 3
        assert server.shard()["size"] == before + 1
    changed = structured(event("structured", {"other": 1}, source=source))
    assert post(server, changed).status_code == 204, "another event under an old name is kept too"
    assert len(rows_of(server, source, 4)) == 4


def test_the_handshake(server: MunimentServer) -> None:
    with session() as client:
        answer = client.options(
            server.url + PATH,
            headers={"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "9"},
        )
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "events.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert "POST" in answer.headers["Allow"]


def test_refusals_say_why(server: MunimentServer) -> None:
    before = server.shard()["size"]
    good = binary(event("x"))
    missing = {k: v for k, v in good.headers.items() if k != "ce-source"}
    cases = [
        (Post(PATH, missing, good.body), 400, "ce-source is missing"),
        (Post(PATH, BATCH, b"[{}]"), 400, "event 1: the attribute specversion is missing"),
        (Post(PATH, BATCH, b"\x00\xff garbage"), 400, "JSON"),
        (Post(PATH, {"content-type": "application/cloudevents+avro"}, b"x"), 415, "avro"),
        (Post(PATH, {**good.headers, "content-encoding": "br"}, b"x"), 415, "br"),
        (Post(PATH, {**good.headers, "Authorization": "Bearer wrong"}, b"x"), 401, ""),
    ]
    for case, status, says in cases:
        answer = post(server, case)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert says in answer.json()["detail"]
    assert server.shard()["size"] == before


def test_hostile_senders_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    good = structured(event("hostile", source="/hostile"))
    bomb = {**BATCH, "content-encoding": "gzip"}
    before = server.shard()["size"]
    with watching(server.process.pid) as watch, slow_sender(server.port):
        assert post(server, Post(PATH, BATCH, b"[" + b"x" * 100 * MIB)).status_code == 413
        assert post(server, Post(PATH, bomb, gzip.compress(bytes(300 * MIB)))).status_code == 413
        for body in (b"[" * 10_000_000, b"[" + b"{}," * 3_000_000 + b"{}]", b'[{"a":"' * 1_000_000):
            assert post(server, Post(PATH, BATCH, body)).status_code in (400, 413)
        assert server.shard()["size"] == before
        assert post(server, good).status_code == 204, "others go on"
    assert watch.peak < MOST_RESIDENT, watch


@contextlib.contextmanager
def slow_sender(port: int) -> Iterator[None]:
    """A request whose body begins and does not go on."""
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        slow.sendall(head.encode() + b"Content-Type: application/cloudevents+json\r\n\r\n{")
        yield


def test_an_event_larger_than_an_entry_is_kept_whole(server: MunimentServer) -> None:
    first = server.shard()["size"]
    one = binary(event("large", "x" * 150_000, source="/large"))
    assert post(server, one).status_code == 204
    entries = [split_entry(entry) for entry in server.stored(first)]
    assert b"".join(raw for _, raw in entries) == one.body
    parts = [json.loads(header)["part"] for header, _ in entries]
    assert [part["number"] for part in parts] == list(range(1, len(parts) + 1))


def test_kills_in_mid_stream_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    random = Random(20_261_121)
    makers = {"binary": binary, "structured": structured, "batched": batched}
    with serving(tmp_path) as server:
        senders = [
            Sender(server.url, [make(event(f"{name}-{n}")) for n in range(300)], (204,))
            for name, make in makers.items()
        ]
        send_through_kills(server, senders, kills=4, random=random, pause=time.sleep)
        ids = Counter(map(id_of, server.stored()))
        ids.pop("", None)  # what a recovery says of itself
        assert ids == Counter(f"{name}-{n}" for name in makers for n in range(300))
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def id_of(entry: bytes) -> str:
    header, raw = split_entry(entry)
    said = json.loads(header)
    if said["via"] != "cloudevents":
        return ""
    return said["about"]["id"] if "about" in said else json.loads(raw)["id"]
