"""What Prometheus sees of the write-ahead store: objects put, under way, cleaned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from muniment.store.wal import Claim

_LABELS = ["log", "shard"]
_COUNTERS = {
    "objects": "Write-ahead objects stored.",
    "bytes": "Bytes of write-ahead objects stored.",
    "appends": "Group commits and checkpoints stored.",
    "retries": "Tries after a failed one.",
    "put_seconds": "Seconds from an object's first try until it was stored.",
}


def families(claims: Mapping[tuple[str, str], Claim]) -> Iterator[Metric]:
    """Yields the families of this moment, without samples where nothing is replicated."""
    term = GaugeMetricFamily("muniment_wal_term", "The term that is written.", labels=_LABELS)
    held = GaugeMetricFamily("muniment_wal_held_bytes", "Bytes not stored yet.", labels=_LABELS)
    fenced = GaugeMetricFamily(
        "muniment_wal_fenced", "1 where another node took the shard over.", labels=_LABELS
    )
    cleaned = CounterMetricFamily(
        "muniment_wal_cleaned", "Objects removed after they were archived.", labels=_LABELS
    )
    failures = CounterMetricFamily(
        "muniment_wal_clean_failures", "Failed tries to remove some.", labels=_LABELS
    )
    counters = {
        name: CounterMetricFamily(f"muniment_wal_{name}", text, labels=_LABELS)
        for name, text in _COUNTERS.items()
    }
    for place, claim in claims.items():
        term.add_metric(place, claim.term)
        cleaned.add_metric(place, claim.cleaned)
        failures.add_metric(place, claim.clean_failures)
        writing = claim.writing
        if writing is not None:
            held.add_metric(place, writing.held)
            fenced.add_metric(place, float(bool(writing.fenced)))
            for name, family in counters.items():
                family.add_metric(place, getattr(writing.metrics, name))
    yield from (term, held, fenced, cleaned, failures, *counters.values())
