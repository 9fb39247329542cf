"""Tokens over HTTP: who may, what is shown, and that each change is in the log first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_parts import FailingShard, Serve

from muniment.access import Scope, SharedTokens
from muniment.access.token_file import changing
from muniment.api import Context
from muniment.api.access import record_change
from muniment.errors import StorageFailing

TOKENS = "/api/v1/tokens"


@pytest.fixture
def admin(serve: Serve) -> Iterator[tuple[httpx.Client, Context]]:
    served = serve(required=True)
    token = served.context.tokens.create("chief", [Scope.ADMIN])
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(timeout=60, base_url=served.url, headers=headers, trust_env=False) as client:
        yield client, served.context


def recorded(shard: FailingShard) -> list[dict[str, object]]:
    found = [shard.reader.entry(index).partition(b"\n")[2] for index in range(shard.size)]
    return [json.loads(raw) for raw in found]


def test_a_token_is_made_shown_once_and_works(
    admin: tuple[httpx.Client, Context], shard: FailingShard
) -> None:
    client, _ = admin
    made = client.post(TOKENS, json={"name": "lb", "scopes": ["write"], "log": "default"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    listed = client.get(TOKENS)
    assert made.json()["token"] not in listed.text
    assert [one["name"] for one in listed.json()["tokens"]] == ["chief", "lb"]
    written = client.post(
        "/api/v1/logs/default/entries",
        content=b"x",
        headers={
            "authorization": f"Bearer {made.json()['token']}",
            "content-type": "text/plain",
        },
    )
    assert written.status_code == 201
    event = json.loads(shard.reader.entry(0).partition(b"\n")[2])
    assert (event["actor"], event["action"]) == ("chief", "token.create")
    assert event["resource"] == {"name": "lb", "type": "token"}
    assert made.json()["token"] not in json.dumps(event)


def test_a_token_is_revoked_and_the_log_says_so(
    admin: tuple[httpx.Client, Context], shard: FailingShard
) -> None:
    client, context = admin
    token = context.tokens.create("lb", [Scope.READ])
    id_ = token.split("_")[1]
    assert client.delete(f"{TOKENS}/{id_}").status_code == 204
    assert client.delete(f"{TOKENS}/{id_}").status_code == 404
    headers = {"authorization": f"Bearer {token}"}
    assert client.get("/api/v1/logs", headers=headers).status_code == 401
    assert [event["action"] for event in recorded(shard)] == ["token.revoke"]


def test_without_a_record_nothing_is_done(
    admin: tuple[httpx.Client, Context], shard: FailingShard
) -> None:
    client, context = admin
    shard.refusal = StorageFailing("the disk is full")
    answer = client.post(TOKENS, json={"name": "lb", "scopes": ["write"]})
    assert answer.status_code == 503
    assert [record.name for record in context.tokens.records] == ["chief"]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"name": "lb", "scopes": []}, 400),
        ({"name": "lb", "scopes": ["all"]}, 400),
        ({"name": "LB!", "scopes": ["write"]}, 400),
        ({"name": "local", "scopes": ["write"]}, 400),
        ({"name": "lb", "scopes": ["write"], "log": "nowhere"}, 404),
        ({"name": "lb", "scopes": ["write", "read"], "log": "default"}, 400),
        ({"name": "lb", "scopes": ["write"], "color": "red"}, 400),
    ],
)
def test_what_cannot_be_made_is_told(
    admin: tuple[httpx.Client, Context],
    shard: FailingShard,
    wanted: dict[str, object],
    status: int,
) -> None:
    client, context = admin
    assert client.post(TOKENS, json=wanted).status_code == status
    assert (len(context.tokens), shard.size) == (1, 0)


def test_the_last_administrator_stays(admin: tuple[httpx.Client, Context]) -> None:
    client, context = admin
    assert client.delete(f"{TOKENS}/{context.tokens.records[0].id}").status_code == 400
    assert len(context.tokens) == 1


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
def test_nobody_else_may(
    admin: tuple[httpx.Client, Context], shard: FailingShard, scope: Scope
) -> None:
    client, context = admin
    token = context.tokens.create("other", [scope])
    headers = {"authorization": f"Bearer {token}"}
    assert client.get(TOKENS, headers=headers).status_code == 403
    assert client.post(TOKENS, json={}, headers=headers).status_code == 403
    assert client.delete(f"{TOKENS}/0", headers=headers).status_code == 403


def test_the_local_user_needs_the_token_of_an_administrator(serve: Serve) -> None:
    with httpx.Client(timeout=60, base_url=serve().url, trust_env=False) as client:
        assert client.get(TOKENS).status_code == 403


def test_where_a_fleet_shares_a_file_changes_are_sent_there(
    serve: Serve, shard: FailingShard, tmp_path: Path
) -> None:
    served, file = serve(required=True), tmp_path / "shared.json"
    with changing(file) as tokens:
        chief = tokens.create("chief", [Scope.ADMIN])
        tokens.create("lb", [Scope.WRITE])
    shared = SharedTokens.open(file)
    served.context.tokens, served.context.guard._tokens = shared, shared
    headers = {"authorization": f"Bearer {chief}"}
    with httpx.Client(timeout=60, base_url=served.url, headers=headers, trust_env=False) as client:
        listed = client.get(TOKENS).json()["tokens"]
        assert [one["name"] for one in listed] == ["chief", "lb"]
        for answer in (
            client.post(TOKENS, json={"name": "x", "scopes": ["write"]}),
            client.delete(f"{TOKENS}/{listed[1]['id']}"),
        ):
            assert answer.status_code == 409
            assert answer.json()["type"] == "urn:muniment:problem:managed-elsewhere"
            assert "muniment tokens --file" in answer.json()["advice"]
        assert shard.size == 0  # what is not done is not recorded

        assert "tokens" not in client.get("/readyz").json()
        assert "muniment_tokens_fresh 1.0" in client.get("/metrics").text
        file.unlink()
        shared.look()
        ready = client.get("/readyz")
        assert ready.status_code == 200 and ready.json()["tokens"]["ok"] is False
        assert "is not there" in ready.json()["tokens"]["reason"]
        assert str(tmp_path) not in ready.text
        assert "muniment_tokens_fresh 0.0" in client.get("/metrics").text
        assert "muniment_tokens 2.0" in client.get("/metrics").text


def test_what_a_new_token_file_meant_is_put_on_record(
    serve: Serve, shard: FailingShard, tmp_path: Path
) -> None:
    context, file = serve(required=True).context, tmp_path / "shared.json"
    with changing(file) as tokens:
        tokens.create("lb", [Scope.WRITE])
    shared = SharedTokens.open(file)
    with changing(file) as tokens:
        shown = tokens.create("other", [Scope.READ])
    change = shared.look()
    assert change is not None
    asyncio.run(record_change(context, change))
    (event,) = recorded(shard)
    assert event["action"] == "token.file"
    assert event["comment"] == f"new: other ({shown.split('_')[1]}); gone: none; changed: none"
    context.takes = False
    asyncio.run(record_change(context, change))
    assert shard.size == 1
