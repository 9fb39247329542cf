"""What a node says of its stores: over the API, in the metrics, in the probe of readiness."""

from __future__ import annotations

import httpx
from api_parts import NAME, Served
from prometheus_client.parser import text_string_to_metric_families

from muniment.store.archive import ArchiveStatus, StoreStatus
from muniment.store.archive.health import Conflict
from muniment.store.archive.status import Evicted, Lag

WELL = StoreStatus(
    "primary",
    "s3://bucket/prefix",
    True,
    "compliance",
    [Lag("default", NAME, 0, 0, 0.0, 9, 900), Lag("default", "attachments", 0, 0, 0.0, 0, 0)],
    {},
    [],
    "",
    "",
    "",
)
ILL = StoreStatus(
    "backup",
    "file:///backup",
    False,
    "off",
    [Lag("default", NAME, 2, 200, 61.5, 0, 0)],
    {"busy": 3, "evidence": 1},
    [Conflict("default", NAME, "00000000000000000000", "backup: x: other bytes")],
    "503",
    "2026-01-01T00:00:00Z",
    "backup: x: other bytes",
)


class Scripted:
    """An archive that says what a test wants."""

    def status(self) -> ArchiveStatus:
        return ArchiveStatus([WELL, ILL], [Evicted("default", NAME, 4, 4_000)])


def test_a_node_without_stores_says_so(client: httpx.Client) -> None:
    assert client.get("/api/v1/stores").json() == {"stores": [], "evicted": []}
    assert "stores" not in client.get("/readyz").json()


def test_lag_failures_and_conflicts_are_told(served: Served, client: httpx.Client) -> None:
    served.context.archive = Scripted()  # type: ignore[assignment]
    answer = client.get("/api/v1/stores").json()
    one, two = answer["stores"]
    assert (one["name"], one["primary"], one["trouble"]) == ("primary", True, "")
    assert two["lags"][0]["oldest"] == 61.5
    assert two["conflicts"][0]["name"] == "00000000000000000000"
    assert two["failures"] == {"busy": 3, "evidence": 1}
    assert answer["evicted"] == [{"log": "default", "shard": NAME, "segments": 4, "bytes": 4000}]


def test_a_store_in_trouble_is_a_warning_and_no_refusal(
    served: Served, client: httpx.Client
) -> None:
    served.context.archive = Scripted()  # type: ignore[assignment]
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["stores"] == [
        {"store": "primary", "ok": True},
        {"store": "backup", "ok": False, "reason": "backup: x: other bytes"},
    ]


def test_metrics_have_the_same_numbers(served: Served, client: httpx.Client) -> None:
    served.context.archive = Scripted()  # type: ignore[assignment]
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name.startswith("muniment_store_")
    }
    assert found["muniment_store_waiting", NAME, "backup", "default"] == 2
    assert found["muniment_store_waiting_bytes", NAME, "backup", "default"] == 200
    assert found["muniment_store_lag_seconds", NAME, "backup", "default"] == 61.5
    assert found["muniment_store_bytes_total", NAME, "default", "primary"] == 900
    assert found["muniment_store_objects_total", NAME, "default", "primary"] == 9
    assert found["muniment_store_ok", "primary"] == 1
    assert found["muniment_store_ok", "backup"] == 0
    assert found["muniment_store_conflicts", "backup"] == 1
    assert found["muniment_store_failures_total", "backup", "busy"] == 3
    assert found["muniment_store_evicted_segments", NAME, "default"] == 4
    assert found["muniment_store_evicted_bytes", NAME, "default"] == 4000
