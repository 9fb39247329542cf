"""Deliveries of log protocols: the same rules for all, whatever the dialect."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from api_parts import (
    NAME,
    FailingShard,
    ScriptedQuery,
    Serve,
    Served,
    make_context,
    open_shard,
)

from muniment.access import Scope
from muniment.access.caller import LOCAL
from muniment.api import Context
from muniment.api.delivery import Delivered, Delivery
from muniment.budget import Hold
from muniment.errors import StorageFailing
from muniment.log import Acknowledgement, Batch, Health
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting
from muniment.receive.dialects import DIALECTS
from muniment.receive.target import Target

AUDIT = "/kubernetes/audit"


def events(*ids: str) -> dict[str, Any]:
    """An EventList as an API server posts it."""
    items = [{"level": "Metadata", "auditID": id_, "stage": "ResponseComplete"} for id_ in ids]
    return {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}


def entries(shard: Any) -> list[tuple[dict[str, Any], bytes]]:
    """Header and bytes of all entries."""
    found = []
    for index in range(shard.size):
        header, _, raw = shard.reader.entry(index).partition(b"\n")
        found.append((json.loads(header), raw))
    return found


@pytest.fixture
def client(serve: Serve) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, base_url=serve().url, trust_env=False) as found:
        yield found


@pytest.fixture
def guarded(serve: Serve) -> Iterator[tuple[httpx.Client, Context]]:
    """A server that asks everybody for a token."""
    served = serve(required=True)
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as found:
        yield found, served.context


@pytest.mark.parametrize("prefix", ["", "/in/default"])
def test_records_become_entries_with_protocol_peer_and_sender(
    client: httpx.Client, shard: FailingShard, prefix: str
) -> None:
    answer = client.post(f"{prefix}{AUDIT}?timeout=30s", json=events("a", "b"))
    assert answer.status_code == 200
    (first, raw), (second, _) = entries(shard)
    assert (first["via"], first["as"], first["from"]) == ("kubernetes", "kubernetes", "local")
    assert first["peer"].startswith("127.0.0.1:")
    assert first == second
    assert json.loads(raw)["auditID"] == "a"


def test_the_parser_of_the_lines_inside_can_be_named(
    client: httpx.Client, shard: FailingShard
) -> None:
    body = b'{"create":{}}\n{"message":"a line"}\n'
    headers = {"content-type": "application/x-ndjson"}
    assert client.post("/_bulk?refresh=false&as=haproxy", content=body, headers=headers).is_success
    assert entries(shard)[0][0]["as"] == "elastic/haproxy"


def test_a_name_that_no_parser_can_have_is_refused(
    client: httpx.Client, shard: FailingShard
) -> None:
    answer = client.post(f"{AUDIT}?as=NGINX!", json=events("a"))
    assert (answer.status_code, answer.json()["kind"]) == (400, "Status")
    assert shard.size == 0


def test_a_log_that_is_not_there_is_said_in_the_words_of_the_protocol(
    client: httpx.Client, shard: FailingShard
) -> None:
    answer = client.post(f"/in/other{AUDIT}", json=events("a"))
    assert answer.status_code == 404
    assert answer.json()["kind"] == "Status"
    assert shard.size == 0


def test_codings_are_undone(client: httpx.Client, shard: FailingShard) -> None:
    body = gzip.compress(json.dumps(events("a", "b")).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    assert client.post(AUDIT, content=body, headers=headers).is_success
    assert shard.size == 2


def test_no_records_are_a_success_that_adds_nothing(
    client: httpx.Client, shard: FailingShard
) -> None:
    assert client.post(AUDIT, json=events()).is_success
    assert shard.size == 0


def test_a_log_that_refuses_makes_the_sender_come_again(
    client: httpx.Client, shard: FailingShard
) -> None:
    shard.refusal = StorageFailing("the disk is full", retry_after=7)
    answer = client.post(AUDIT, json=events("a"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    shard.refusal = None
    assert client.post(AUDIT, json=events("a")).is_success
    assert shard.size == 1


def test_an_idempotency_key_makes_a_repetition_harmless(
    client: httpx.Client, shard: FailingShard
) -> None:
    headers = {"idempotency-key": "batch-1"}
    for _ in range(3):
        assert client.post(AUDIT, json=events("a", "b"), headers=headers).is_success
    assert shard.size == 2
    assert entries(shard)[0][0]["id"] == "batch-1"
    conflict = client.post(AUDIT, json=events("c"), headers=headers)
    assert conflict.status_code == 409


def test_the_same_id_of_a_protocol_for_other_bytes_is_kept_as_new(
    client: httpx.Client, shard: FailingShard
) -> None:
    head = {"ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"}
    for body in (b"one", b"one", b"another"):
        answer = client.post("/cloudevents", content=body, headers=head)
        assert answer.is_success, answer.text
    assert [raw for _, raw in entries(shard)] == [b"one", b"another"]


def basic(user: str, token: str) -> str:
    return "Basic " + b64encode(f"{user}:{token}".encode()).decode()


def test_a_token_is_taken_in_every_form_that_clients_have(
    guarded: tuple[httpx.Client, Context], shard: FailingShard
) -> None:
    client, context = guarded
    token = context.tokens.create("shipper", [Scope.WRITE])
    encoded = b64encode(f"id:{token}".encode()).decode()
    forms = (
        *(f"Bearer {token}", f"Splunk {token}", f"ApiKey {token}", f"ApiKey {encoded}"),
        basic("anybody", token),
    )
    for form in forms:
        answer = client.post(AUDIT, json=events(form), headers={"authorization": form})
        assert answer.status_code == 200, (form, answer.text)
    assert {header["from"] for header, _ in entries(shard)} == {"shipper"}
    wrong = (
        *(f"Bearer {token}x", "Bearer", "Basic !", f"Digest {token}", "ApiKey bm9jb2xvbg=="),
        basic("anybody", "mun_00000000_" + "a" * 43),
    )
    for form in wrong:
        answer = client.post(AUDIT, json=events("x"), headers={"authorization": form})
        assert answer.status_code == 401, form
        assert "www-authenticate" in answer.headers
    assert client.post(AUDIT, json=events("x")).status_code == 401
    assert shard.size == len(forms)


def test_who_may_read_only_may_not_deliver(guarded: tuple[httpx.Client, Context]) -> None:
    client, context = guarded
    token = context.tokens.create("auditor", [Scope.READ])
    headers = {"authorization": f"Bearer {token}"}
    assert client.post(AUDIT, json=events("x"), headers=headers).status_code == 403


def test_a_revoked_token_is_refused_on_the_same_connection(
    guarded: tuple[httpx.Client, Context],
) -> None:
    client, context = guarded
    token = context.tokens.create("shipper", [Scope.WRITE])
    headers = {"authorization": f"Bearer {token}"}
    assert client.post(AUDIT, json=events("x"), headers=headers).is_success
    context.tokens.revoke(token.split("_")[1])
    assert client.post(AUDIT, json=events("x"), headers=headers).status_code == 401


def test_a_token_that_is_bound_to_a_log_chooses_it(
    guarded: tuple[httpx.Client, Context], shard: FailingShard, tmp_path: Path
) -> None:
    client, context = guarded
    edge = open_shard(tmp_path, "edge")
    context.logs["edge"] = {NAME: edge}  # type: ignore[index]
    token = context.tokens.create("lb", [Scope.WRITE], "edge")
    headers = {"authorization": f"Bearer {token}"}
    try:
        for path, status in ((AUDIT, 200), (f"/in/edge{AUDIT}", 200), (f"/in/default{AUDIT}", 403)):
            answer = client.post(path, json=events(path), headers=headers)
            assert answer.status_code == status, path
        native = "/api/v1/logs/{}/entries"
        text = headers | {"content-type": "text/plain"}
        for log, status in (("edge", 201), ("default", 403)):
            answer = client.post(native.format(log), content=b"x", headers=text)
            assert answer.status_code == status, log
        assert (edge.size, shard.size) == (3, 0)
    finally:
        edge.close()


def test_counts_are_on_the_metrics_page(client: httpx.Client, shard: FailingShard) -> None:
    client.post(AUDIT, json=events("a", "b"))
    client.post(f"/in/other{AUDIT}", json=events("a"))
    page = client.get("/metrics").text
    assert 'muniment_protocol_entries_total{protocol="kubernetes"} 2.0' in page
    assert 'muniment_protocol_messages_total{protocol="kubernetes"} 2.0' in page
    assert 'muniment_protocol_refused_total{protocol="kubernetes"} 1.0' in page


def test_an_index_too_far_behind_makes_senders_wait(serve: Serve, query: ScriptedQuery) -> None:
    query.behind = 0
    with httpx.Client(timeout=60, base_url=serve(index_lag=10).url, trust_env=False) as client:
        assert client.post(AUDIT, json=events("a")).is_success
        query.behind = 11
        answer = client.post(AUDIT, json=events("b"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_a_body_over_the_limit_is_refused_in_the_words_of_the_protocol(serve: Serve) -> None:
    with httpx.Client(timeout=60, base_url=serve(body=1_000, decompressed=2_000).url) as client:
        many = events(*map(str, range(100)))
        answer = client.post(AUDIT, json=many)
        assert (answer.status_code, answer.json()["kind"]) == (413, "Status")
        bomb = gzip.compress(b" " * 1_000_000)
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        answer = client.post(AUDIT, content=bomb, headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (413, "Status")


def test_an_answer_without_a_body_has_no_length(served: Served) -> None:
    head = b"ce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-specversion: 1.0\r\n"
    with served.connect() as connection:
        connection.sendall(
            b"POST /cloudevents HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            + head
            + b"Content-Length: 1\r\n\r\nx"
        )
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"content-length" not in answer.lower()


@pytest.mark.parametrize("protocol", ["kubernetes", "elastic"])
def test_what_waits_for_the_disk_holds_no_more_memory_than_it_says(
    tmp_path: Path, protocol: str
) -> None:
    offered: list[tuple[Batch, Callable[[Any], None]]] = []
    stuck = SimpleNamespace(health=Health(), offer=lambda *given: offered.append(given))
    context = make_context(tmp_path, {})
    dialect = next(found for found in DIALECTS if found.name == protocol)
    target = Target("default", {NAME: cast(Any, stuck)})
    posting = Posting("/_bulk" if protocol == "elastic" else AUDIT)
    job = Delivery(context, dialect, posting, Coding.IDENTITY, LOCAL, "", target, "")
    body = json.dumps(events(*(str(number) for number in range(1_000)))).encode()
    if protocol == "elastic":
        body = b'{"create":{}}\n{"message":"a line"}\n' * 1_000
    hold, settled = Hold(context.budget), list[Delivered]()
    job.submit(body, hold, settled.append)
    ((batch, done),) = offered
    done(Acknowledgement("default", NAME, 0, batch.count, "local", "note"))
    assert settled[0].taken.groups == ()
    answer = job.answer(settled[0])
    assert answer.status == 200
    kept = 0 if protocol == "kubernetes" else len(answer.body)
    assert batch.size + kept <= hold.amount <= batch.size + 3 * kept
