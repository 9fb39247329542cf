"""What Prometheus sees of the stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from muniment.store.archive import Archive, ArchiveStatus, StoreStatus

_PLACE = ["store", "log", "shard"]

_GAUGES = {
    "waiting": "Segments or attachments that a store has not confirmed.",
    "waiting_bytes": "Bytes that a store has not confirmed.",
    "oldest": "Seconds since the first of them was sealed.",
}
_COUNTERS = {"objects": "Objects confirmed by a store.", "bytes": "Bytes confirmed by a store."}
_NAMES = {"oldest": "lag_seconds"}


def families(archive: Archive | None) -> Iterator[Metric]:
    """Yields the families of this moment, without samples where the node has no stores."""
    status = archive.status() if archive is not None else ArchiveStatus((), ())
    yield from _lags(status)
    yield from _health(status.stores)
    labels = ["log", "shard"]
    segments = GaugeMetricFamily(
        "muniment_store_evicted_segments", "Segments in the store only.", labels=labels
    )
    size = GaugeMetricFamily(
        "muniment_store_evicted_bytes", "Bytes in the store only.", labels=labels
    )
    for one in status.evicted:
        segments.add_metric([one.log, one.shard], one.segments)
        size.add_metric([one.log, one.shard], one.bytes)
    yield from (segments, size)


def _lags(status: ArchiveStatus) -> Iterator[Metric]:
    for kind, texts in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
        for key, text in texts.items():
            family = kind(f"muniment_store_{_NAMES.get(key, key)}", text, labels=_PLACE)
            for store in status.stores:
                for lag in store.lags:
                    family.add_metric([store.name, lag.log, lag.shard], getattr(lag, key))
            yield family


def _health(stores: Sequence[StoreStatus]) -> Iterator[Metric]:
    ok = GaugeMetricFamily(
        "muniment_store_ok", "1 while a store does what is asked.", labels=["store"]
    )
    conflicts = GaugeMetricFamily(
        "muniment_store_conflicts", "Objects that are not what they must be.", labels=["store"]
    )
    failures = CounterMetricFamily(
        "muniment_store_failures", "Failed tries by reason.", labels=["store", "reason"]
    )
    for store in stores:
        ok.add_metric([store.name], float(not store.trouble))
        conflicts.add_metric([store.name], len(store.conflicts))
        for reason, count in store.failures.items():
            failures.add_metric([store.name, reason], count)
    yield from (ok, conflicts, failures)
