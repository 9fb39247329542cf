"""What Prometheus sees of the mirrors of other nodes' shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from muniment.fleet.mirror import Mirrors, MirrorState, MirrorStatus

_LABELS = ["log", "shard"]
_GAUGES = {
    "lag": ("lag_entries", "Entries that a source has and the mirror has not."),
    "lag_seconds": ("lag_seconds", "Seconds since the first of them was known of."),
}
_COUNTERS = {"entries": "Entries mirrored.", "bytes": "Bytes mirrored."}


def families(mirrors: Mirrors | None) -> Iterator[Metric]:
    """Yields the families of this moment, without samples where the node mirrors nothing."""
    status: Sequence[MirrorStatus] = mirrors.status() if mirrors is not None else ()
    ok = GaugeMetricFamily(
        "muniment_mirror_ok",
        "0 where a mirror is damaged, could not be begun, or has no source that shows what holds.",
        labels=_LABELS,
    )
    failures = CounterMetricFamily(
        "muniment_mirror_failures", "Failed tries by reason.", labels=[*_LABELS, "reason"]
    )
    well = (MirrorState.FOLLOWING, MirrorState.WAITING)
    for one in status:
        ok.add_metric([one.log, one.shard], float(one.state in well))
        for reason, count in one.failures.items():
            failures.add_metric([one.log, one.shard, reason], count)
    yield from (ok, failures)
    for key, (name, text) in _GAUGES.items():
        gauge = GaugeMetricFamily(f"muniment_mirror_{name}", text, labels=_LABELS)
        for one in status:
            gauge.add_metric([one.log, one.shard], getattr(one, key))
        yield gauge
    for key, text in _COUNTERS.items():
        counter = CounterMetricFamily(f"muniment_mirror_{key}", text, labels=_LABELS)
        for one in status:
            counter.add_metric([one.log, one.shard], getattr(one, key))
        yield counter
