"""What Prometheus sees: read at scrape time from the counts that the parts keep anyway."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muniment import kernel
from muniment.api.context import Context
from muniment.receive.port import Count

PROC = Path("/proc/self")


class NodeCollector(Collector):
    """Shards, HTTP, receivers, the kernel and the process, as metric families."""

    def __init__(self, context: Context, counts: Sequence[Count]) -> None:
        self._context, self._counts = context, counts

    def collect(self) -> Iterable[Metric]:
        """Yields the families of this moment."""
        yield from self._shards()
        yield from self._http()
        yield from self._protocols()
        yield from self._receivers()
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
                healthy.add_metric([log, name], float(shard.health.ok))
                for key, family in counters.items():
                    family.add_metric([log, name], getattr(shard.metrics, key))
        yield from (size, published, healthy, *counters.values())

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
