"""Audit events posted as the API server posts them: EventLists, again and again until taken."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from muniment.trust.directory import verify_directory

from .harness.memory import MIB, watching
from .harness.posting import Post, Sender, send_through_kills, session
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

SAMPLE = (Path(__file__).parents[1] / "data/kubernetes/audit-priv-pod.log").read_bytes().strip()
PATH = "/kubernetes/audit?timeout=30s"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver/v1.34.1 (linux/amd64) kubernetes/93248f9",
}
STAGES = ("RequestReceived", "ResponseComplete")
MOST_RESIDENT = 400 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("kubernetes")) as one:
        yield one


def event(audit: str, stage: str = "ResponseComplete", **more: object) -> bytes:
    """An event as it stands in a list, where kind and apiVersion are the list's alone."""
    found = {
        "level": "Metadata",
        "auditID": audit,
        "stage": stage,
        "requestURI": "/api/v1/namespaces/web/secrets/tls",
        "verb": "get",
        "user": {"username": "system:serviceaccount:web:shop", "groups": ["system:authenticated"]},
        "sourceIPs": ["10.0.0.7"],
        "userAgent": "shop/1.0",
        "objectRef": {"resource": "secrets", "namespace": "web", "name": "tls", "apiVersion": "v1"},
        "requestReceivedTimestamp": "2026-11-20T23:06:18.700000Z",
        "stageTimestamp": "2026-11-20T23:06:18.734001Z",
        **more,
    }
    if stage != STAGES[0]:
        found["responseStatus"] = {"metadata": {}, "code": 200}
    return json.dumps(found, separators=(",", ":")).encode()


def listed(*events: bytes) -> Post:
    head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
    return Post(PATH, HEADERS, head + b",".join(events) + b"]}\n")


def post(server: MunimentServer, one: Post, **headers: str):
    with session(tries=0) as client:
        return client.post(
            server.url + one.path, data=one.body, headers={**one.headers, **headers}, timeout=60
        )


def row_of(server: MunimentServer, uid: str) -> dict:
    def found() -> list[dict]:
        return list(server.rows(f'metadata.uid:"{uid}"'))

    (row,) = wait_for(found, f"a row with the uid {uid}")
    return row


def test_the_events_of_a_list_are_entries_byte_for_byte(server: MunimentServer) -> None:
    first = server.shard()["size"]
    events = [event("list", stage) for stage in STAGES] + [SAMPLE]
    answer = post(server, listed(*events))
    assert (answer.status_code, answer.json()["status"]) == (200, "Success")
    entries = [split_entry(entry) for entry in server.stored(first)]
    assert [raw for _, raw in entries] == events
    assert {json.loads(header)["via"] for header, _ in entries} == {"kubernetes"}
    assert_fields(
        row_of(server, "list/ResponseComplete"),
        {
            "class_uid": 6003,
            "activity_id": 2,
            "actor.user.name": "system:serviceaccount:web:shop",
            "api.operation": "get",
            "api.response.code": 200,
            "status_id": 1,
            "duration": 34,
            "src_endpoint.ip": "10.0.0.7",
            "metadata.correlation_uid": "list",
            "parse_error": None,
        },
    )
    assert row_of(server, "list/RequestReceived")["status_id"] == 0


def test_a_list_that_is_sent_again_is_there_once(server: MunimentServer) -> None:
    one = listed(event("again"), event("again-2"))
    before = server.shard()["size"]
    assert [post(server, one).status_code for _ in range(3)] == [200] * 3
    assert server.shard()["size"] == before + 2


def test_an_empty_list_and_a_single_event(server: MunimentServer) -> None:
    before = server.shard()["size"]
    assert post(server, listed()).status_code == 200
    assert post(server, Post(PATH, HEADERS, SAMPLE)).status_code == 200
    assert server.shard()["size"] == before + 1


@pytest.mark.parametrize(
    "bulk",
    [rb'{"a":"\ud800"}', b"[" * 9_000 + b"]" * 9_000, json.dumps({"a": "x" * 200_000}).encode()],
    ids=["half a surrogate pair", "deep", "large"],
)
def test_no_request_of_a_user_hides_itself_or_others(server: MunimentServer, bulk: bytes) -> None:
    name = f"hide-{len(bulk)}"
    hidden = event(name)[:-1] + b',"requestObject":' + bulk + b"}"
    assert post(server, listed(event(f"{name}-a"), hidden, event(f"{name}-b"))).status_code == 200
    for other in ("a", "b"):
        assert_fields(row_of(server, f"{name}-{other}/ResponseComplete"), {"parse_error": None})
    row = row_of(server, f"{name}/ResponseComplete")
    expected = {"class_uid": 6003, "actor.user.name": "system:serviceaccount:web:shop"}
    assert_fields(row, expected)
    assert row.get("parse_error")


def test_refusals_are_statuses_that_the_api_server_logs(server: MunimentServer) -> None:
    before = server.shard()["size"]
    old = listed(event("old")).body.replace(b"audit.k8s.io/v1", b"audit.k8s.io/v1beta1")
    cases = [
        (Post(PATH, HEADERS, old), 400, "v1beta1"),
        (Post(PATH, HEADERS, b"\x00\xff garbage"), 400, "JSON"),
        (Post(PATH, {**HEADERS, "Content-Type": "text/plain"}, b"x"), 415, "text/plain"),
        (Post(PATH, {**HEADERS, "Authorization": "Bearer wrong"}, b"{}"), 401, ""),
    ]
    for case, status, says in cases:
        answer = post(server, case)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (status, status), answer.text
        assert (told["kind"], told["status"]) == ("Status", "Failure")
        assert says in told["message"]
    assert server.shard()["size"] == before


def test_hostile_lists_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    before = server.shard()["size"]
    head, tail = listed().body.split(b"[]")
    bodies = [
        head + b"[" + b"x" * 100 * MIB,
        head + b"[" + b"{}," * 3_000_000 + b"{}]" + tail,
        head + b"[" * 10_000_000,
        head + b"[" + b'{"a":"' * 1_000_000,
    ]
    with watching(server.process.pid) as watch:
        for body in bodies:
            assert post(server, Post(PATH, HEADERS, body)).status_code in (400, 413)
        assert server.shard()["size"] == before
        assert post(server, listed(event("after"))).status_code == 200, "others go on"
    assert watch.peak < MOST_RESIDENT, watch


def test_kills_in_mid_stream_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    random = Random(20_261_121)
    with serving(tmp_path) as server:
        senders = [
            Sender(
                server.url,
                [
                    listed(*(event(f"{name}-{n}-{m}", stage) for m in range(5) for stage in STAGES))
                    for n in range(150)
                ],
                (200,),
            )
            for name in ("one", "two", "three")
        ]
        send_through_kills(server, senders, kills=4, random=random, pause=time.sleep)
        kept: Counter[tuple[str, str]] = Counter()
        for entry in server.stored():
            header, raw = split_entry(entry)
            if b'"via":"kubernetes"' in header:
                said = json.loads(raw)
                kept[said["auditID"], said["stage"]] += 1
        assert kept == Counter(
            (f"{name}-{n}-{m}", stage)
            for name in ("one", "two", "three")
            for n in range(150)
            for m in range(5)
            for stage in STAGES
        )
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))
