"""Health and metrics: what takes a node out of the balancer, and what only search misses."""

from __future__ import annotations

import httpx
from api_parts import NAME, FailingShard, ScriptedQuery, Served
from prometheus_client.parser import text_string_to_metric_families

from muniment.errors import Unavailable
from muniment.log import Health

FAILING = Health(False, "No space left on device", "2026-01-01T00:00:00Z")


def test_a_sound_node_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "shards": [{"log": "default", "shard": NAME, "ok": True, "size": 0}],
        "search": {"ok": True, "logs": {}, "resident_bytes": 1},
    }


def test_a_failing_disk_makes_the_node_not_ready_and_says_why(
    client: httpx.Client, shard: FailingShard
) -> None:
    shard.health = FAILING
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]
    told = answer.json()
    assert told["ready"] is False
    assert told["type"] == "urn:muniment:problem:storage-failing"
    assert "No space left on device" in told["detail"]
    assert told["shards"][0]["reason"] == "No space left on device"
    assert told["shards"][0]["since"] == "2026-01-01T00:00:00Z"
    assert client.get("/healthz").status_code == 200

    shard.health = Health()
    assert client.get("/readyz").status_code == 200


def test_a_log_with_one_sound_shard_is_ready(served: Served, shard: FailingShard) -> None:
    broken = FailingShard(shard._shard)
    broken.health = FAILING
    served.context.logs["default"]["00000000"] = broken  # type: ignore[index]
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert [one["ok"] for one in answer.json()["shards"]] == [True, False]
        for _ in range(4):
            sent = client.post(
                "/api/v1/logs/default/entries", content=b"x", headers={"content-type": "text/plain"}
            )
            assert sent.json()["shard"] == NAME


def test_a_query_node_is_ready_whatever_becomes_of_the_shards_of_others(
    served: Served, shard: FailingShard
) -> None:
    served.context.takes = False
    shard.health = FAILING
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert [one["ok"] for one in answer.json()["shards"]] == [False]
        assert client.get("/api/v1/logs/default/search").status_code == 200


def test_search_that_is_down_does_not_keep_entries_out(
    client: httpx.Client, query: ScriptedQuery
) -> None:
    query.error = Unavailable("the query process has ended")
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["search"] == {"ok": False, "reason": "the query process has ended"}


def test_a_node_that_stops_is_not_ready(served: Served) -> None:
    served.context.stopping.set()
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "stopping" in answer.json()["detail"]


def test_a_node_that_starts_takes_entries_before_it_is_ready(served: Served) -> None:
    served.context.starting = True
    with httpx.Client(timeout=60, base_url=served.url, trust_env=False) as client:
        assert client.get("/readyz").status_code == 503
        sent = client.post(
            "/api/v1/logs/default/entries", content=b"x", headers={"content-type": "text/plain"}
        )
        assert sent.status_code == 201
        served.context.starting = False
        assert client.get("/readyz").status_code == 200


def test_the_metrics_are_what_happened(client: httpx.Client) -> None:
    for body in (b"a\nb", b"c"):
        client.post(
            "/api/v1/logs/default/entries",
            content=body,
            headers={"content-type": "text/plain", "idempotency-key": "k" + str(len(body))},
        )
    client.post("/api/v1/logs/nope/entries", content=b"x")
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }
    assert found["muniment_shard_size", NAME, "default"] == 3
    assert found["muniment_shard_ok", NAME, "default"] == 1
    assert found["muniment_shard_entries_total", NAME, "default"] == 3
    assert found["muniment_http_entries_total",] == 3
    assert found["muniment_http_requests_total", "201", "POST"] == 2
    assert found["muniment_http_requests_total", "404", "POST"] == 1
    assert found["muniment_index_duplicates_total", "default"] == 7
    assert found["muniment_index_conflicts_total", "default"] == 2
    assert found["muniment_http_connections",] == 1
    assert found["muniment_http_body_bytes",] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_methods_are_counted_by_a_name_that_is_known(client: httpx.Client) -> None:
    """Else whoever invents methods makes the metrics grow without end."""
    for number in range(3):
        client.request("PROPFIND" if number else "OPTIONS", "/healthz")
    page = client.get("/metrics").text
    assert 'method="other"' in page
    assert "PROPFIND" not in page
