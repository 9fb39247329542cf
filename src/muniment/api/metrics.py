"""What Prometheus sees: read at scrape time from the counts that the parts keep anyway."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muniment import kernel
from muniment.api import mirror_metrics, store_metrics, wal_metrics
from muniment.api.context import Context
from muniment.receive.port import Count
from muniment.store.retention.follow import Retention

PROC = Path("/proc/self")


class NodeCollector(Collector):
    """Shards, HTTP, receivers, the kernel and the process, as metric families."""

    def __init__(self, context: Context, counts: Sequence[Count]) -> None:
        self._context, self._counts = context, counts

    def collect(self) -> Iterable[Metric]:
        """Yields the families of this moment."""
        yield from self._shards()
        yield from _retention(self._context.retention)
        yield from self._http()
        yield from self._protocols()
        yield from self._receivers()
        yield from self._index()
        yield from self._worm()
        yield from store_metrics.families(self._context.archive)
        yield from wal_metrics.families(self._context.wal)
        yield from mirror_metrics.families(self._context.mirrors)
        yield _kernel()
        yield from _process()

    def _shards(self) -> Iterator[Metric]:
        labels = ["log", "shard"]
        size = GaugeMetricFamily("muniment_shard_size", "Durable entries.", labels=labels)
        published = GaugeMetricFamily(
            "muniment_shard_published_size",
            "Entries under the published checkpoint.",
            labels=labels,
        )
        minimum = GaugeMetricFamily(
            "muniment_shard_minimum", "The first entry that has not expired.", labels=labels
        )
        healthy = GaugeMetricFamily(
            "muniment_shard_ok", "1 while the shard acknowledges.", labels=labels
        )
        counters = {
            name: CounterMetricFamily(f"muniment_shard_{name}", text, labels=labels)
            for name, text in _WRITER.items()
        }
        for log, shards in self._context.logs.items():
            for name, shard in shards.items():
                size.add_metric([log, name], shard.size)
                published.add_metric([log, name], shard.published_size)
                minimum.add_metric([log, name], shard.reader.minimum)
                healthy.add_metric([log, name], float(shard.health.ok))
                for key, family in counters.items():
                    family.add_metric([log, name], getattr(shard.metrics, key))
        yield from (size, published, minimum, healthy, *counters.values())

    def _http(self) -> Iterator[Metric]:
        context, meters = self._context, self._context.meters
        requests = CounterMetricFamily(
            "muniment_http_requests", "Answers by method and status.", labels=["method", "status"]
        )
        for (method, status), value in list(meters.requests.items()):
            requests.add_metric([method, str(status)], value)
        yield requests
        yield _gauge("muniment_http_connections", "Open connections.", meters.connections)
        yield _gauge("muniment_http_body_bytes", "Memory held by bodies.", context.budget.held)
        yield _gauge("muniment_http_tails", "Live tails.", meters.tails)
        yield _gauge("muniment_tokens", "Tokens that are known.", len(context.tokens))
        fresh = not context.tokens.trouble
        yield _gauge("muniment_tokens_fresh", "1 while they are those of the file.", fresh)
        for name, text, value in (
            ("refused_connections", "Connections over the bound.", meters.refused_connections),
            ("slow_connections", "Connections closed for slowness.", meters.slow_connections),
            ("entries", "Entries acknowledged over HTTP.", meters.entries),
            ("replayed", "Batches that were repetitions.", meters.replayed),
        ):
            yield CounterMetricFamily(f"muniment_http_{name}", text, value)

    def _protocols(self) -> Iterator[Metric]:
        """Log protocols over HTTP, whichever listener they come to."""
        for name, text in _PROTOCOL.items():
            family = CounterMetricFamily(f"muniment_protocol_{name}", text, labels=["protocol"])
            for protocol, meters in list(self._context.meters.protocols.items()):
                family.add_metric([protocol], getattr(meters, name))
            yield family

    def _worm(self) -> Iterator[Metric]:
        """What the last checks of the stores found; nothing before the first."""
        label = ["store"]
        ok = GaugeMetricFamily("muniment_worm_ok", "1 while promises are kept.", labels=label)
        checked = GaugeMetricFamily(
            "muniment_worm_last_check_seconds", "Time of the last whole check.", labels=label
        )
        for name, watch in self._context.worm.items():
            if watch.ok is not None:
                ok.add_metric([name], float(watch.ok))
                checked.add_metric([name], watch.checked)
        yield from (ok, checked)

    def _index(self) -> Iterator[Metric]:
        duplicates = CounterMetricFamily(
            "muniment_index_duplicates", "Entries left out as copies.", labels=["log"]
        )
        conflicts = CounterMetricFamily(
            "muniment_index_conflicts", "Batches whose id came with other entries.", labels=["log"]
        )
        for log in self._context.logs:
            copies, others = self._context.query.duplicates(log)
            duplicates.add_metric([log], copies)
            conflicts.add_metric([log], others)
        yield from (duplicates, conflicts)

    def _receivers(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for count in self._counts:
            kind = GaugeMetricFamily if count.gauge else CounterMetricFamily
            family = families.get(count.name)
            if family is None:
                family = kind(f"muniment_{count.name}", count.help, labels=["receiver"])
                families[count.name] = family
            family.add_metric([count.receiver], count.value())
        yield from families.values()


def _retention(retention: Retention | None) -> Iterator[Metric]:
    if retention is None:
        return
    labels = ["log", "shard"]
    expired = CounterMetricFamily(
        "muniment_retention_expired_segments", "Segments that expired.", labels=labels
    )
    kept = GaugeMetricFamily(
        "muniment_retention_kept_segments",
        "Expired segments that a store does not let go.",
        labels=["log", "shard", "store"],
    )
    holds = GaugeMetricFamily("muniment_retention_holds", "Legal holds.", labels=["log"])
    for log, one in retention.logs.items():
        holds.add_metric([log], sum(1 for _ in one.holds))
        for shard, state in one.shard_states.items():
            expired.add_metric([log, shard], state.expired)
            for store, count in list(state.kept.items()):
                kept.add_metric([log, shard, store], count)
    yield from (expired, kept, holds)


_WRITER = {
    "entries": "Entries committed.",
    "bytes": "Packed bytes committed.",
    "commits": "Group commits.",
    "refused": "Batches refused.",
    "failures": "Failed commits.",
    "sync_seconds": "Seconds spent writing and syncing.",
}


_PROTOCOL = {
    "messages": "Records received.",
    "bytes": "Bytes of bodies received.",
    "entries": "Entries acknowledged.",
    "replayed": "Batches that were repetitions.",
    "refused": "Requests refused.",
}


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value)


def _kernel() -> Metric:
    family = GaugeMetricFamily("muniment_kernel_info", "The kernel that runs.", labels=["kernel"])
    family.add_metric([kernel.ACTIVE], 1)
    return family


def _process() -> Iterator[Metric]:
    try:
        pages = int((PROC / "statm").read_text(encoding="ascii").split()[1])
        descriptors = sum(1 for _ in (PROC / "fd").iterdir())
    except OSError:
        return  # not Linux
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    yield _gauge("process_resident_memory_bytes", "Resident memory.", resident)
    yield _gauge("process_open_fds", "Open file descriptors.", descriptors)


def registry(context: Context, counts: Sequence[Count]) -> CollectorRegistry:
    """Returns a registry of this node's own."""
    found = CollectorRegistry(auto_describe=False)
    found.register(NodeCollector(context, counts))
    return found
