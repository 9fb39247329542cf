"""The listener for probes: two paths, one word each, and nothing of what the node holds."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from api_parts import FailingShard, make_context

from muniment.api.probe_listener import ProbeListener
from muniment.log import Health
from muniment.receive.sockets import bind
from muniment.settings import Address


def test_it_answers_probes_and_nothing_else(tmp_path: Path, shard: FailingShard) -> None:
    asyncio.run(asyncio.wait_for(_look(tmp_path, shard), 60))


async def _look(tmp_path: Path, shard: FailingShard) -> None:
    context = make_context(tmp_path, {"default": shard}, required=True)
    listener = ProbeListener(bind(Address("127.0.0.1", 0), socket.SOCK_STREAM), context)
    await listener.start()
    url = f"http://{listener.address}"
    try:
        async with httpx.AsyncClient(timeout=60, base_url=url, trust_env=False) as client:
            for path in ("/healthz", "/readyz"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
                assert (await client.head(path)).content == b""
                assert (await client.post(path)).status_code == 405
            for path in ("/metrics", "/api/v1/logs", "/", "/api/v1/tokens", "/docs", "/tlog/"):
                assert (await client.get(path)).status_code == 404
            for path in ("/api/v1/logs/default/entries", "/_bulk", "/v1/logs"):
                sent = await client.post(path, content=b"{}", headers={"x-forwarded-for": "a"})
                assert sent.status_code == 404

            shard.health = Health(False, "No space left on device", "2026-01-01T00:00:00Z")
            await _not_ready(client)
            shard.health = Health()
            context.stopping.set()
            await _not_ready(client)
            assert (await client.get("/healthz")).status_code == 200
        assert shard.size == 0
    finally:
        await listener.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz", trust_env=False)


async def _not_ready(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
    assert answer.headers["retry-after"]
    assert "default" not in answer.text and "space" not in answer.text
