"""The load of a demonstration: lines that can be read, batches sent until they are kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx
import pytest

from muniment.access import Scope, Tokens
from muniment.clock import SystemClock
from muniment.event.decode import decode
from muniment.log.disk import PosixDisk
from muniment.up import demo
from muniment.up.places import Places

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


def test_every_line_can_be_read_as_haproxys() -> None:
    header = b'{"at":"2026-11-21T10:00:01.000000Z","node":"n1","via":"http","as":"haproxy"}\n'
    made = [line.encode() for _ in range(50) for line in demo.lines(Random(2), NOW)]
    rows = decode([header + line for line in made], log="l", shard="s", first=0).to_pylist()
    assert len(rows) == 50 * demo.LINES_PER_BATCH
    assert {row["parse_error"] for row in rows} == {None}
    assert all(row["http_response"]["code"] >= 200 for row in rows)


def test_the_token_writes_to_one_log_and_is_made_once(tmp_path: Path) -> None:
    places = Places(tmp_path)
    (tmp_path / "tls").mkdir()
    token = demo.demo_token(places, PosixDisk(), SystemClock())
    caller = Tokens.open(places.tokens).authenticate(token)
    assert (caller.name, set(caller.scopes), caller.log) == ("demo", {Scope.WRITE}, "default")
    assert demo.demo_token(places, PosixDisk(), SystemClock()) == token
    places.demo_token.unlink()
    assert demo.demo_token(places, PosixDisk(), SystemClock()) != token
    assert len(Tokens.open(places.tokens)) == 1


@pytest.mark.parametrize("settled", demo.SETTLED)
def test_a_batch_is_sent_again_with_its_key(monkeypatch: pytest.MonkeyPatch, settled: int) -> None:
    monkeypatch.setattr(demo, "PAUSE", 0)
    answers, keys = [503, 429, 502, settled], list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ConnectError("nobody")
        return httpx.Response(answers.pop(0))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await demo._post(client, "https://edge.test/", "line", "one")

    asyncio.run(run())
    assert keys == ["one"] * 5


def test_lines_are_made_anew() -> None:
    random = Random(1)
    assert set(demo.lines(random, NOW)).isdisjoint(demo.lines(random, NOW))
