"""The measurements. Each returns rows: what, its rate, its limit's rate in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import limits
from bench.lines import LINE_BYTES, bodies
from bench.server import Server, serve

MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One figure: medians over `runs` paired runs. `ratio` is rate / limit_rate."""

    what: str
    unit: str
    rate: float
    limit: str
    limit_rate: float
    ratio: float
    runs: int
    detail: str = ""

    def as_dict(self) -> dict[str, object]:
        """Returns the row for the JSON result."""
        return asdict(self)


def _paired(
    runs: int, measure: Callable[[], float], limit: Callable[[], float]
) -> tuple[float, float, float]:
    """Runs the two in turn and returns the medians of both and of their ratio, pair by pair."""
    pairs = [(measure(), limit()) for _ in range(runs)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def ingest_batches(runs: int, scratch: Path) -> list[Row]:
    """1 MiB NDJSON batches of 300-byte lines on 8 connections, durable before the answer."""
    payloads = bodies(16, MIB)
    per_body = payloads[0].count(b"\n")
    requests = 200
    answers: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder, serve(Path(folder) / "data") as server:

        def measure() -> float:
            answers.append(server.load(8, requests, MIB))
            return answers[-1]["entries"] / answers[-1]["seconds"]

        measure()
        answers.clear()
        rows = []
        for name, limit in (
            ("append + fdatasync", lambda: limits.append_and_sync(payloads, requests, scratch)),
            ("SHA-256, one core", lambda: limits.sha256(payloads, requests)),
        ):
            rate, bound, ratio = _paired(runs, measure, lambda: limit() * per_body)  # noqa: B023
            rows.append(
                Row(
                    "ingest, 1 MiB batches, 8 connections",
                    "entries/s",
                    rate,
                    name,
                    bound,
                    ratio,
                    runs,
                    _latency(answers),
                )
            )
    return rows


def ingest_single(runs: int, scratch: Path) -> list[Row]:
    """One entry a request on 64 connections, durable before the answer."""
    payloads = bodies(64, LINE_BYTES)
    requests = 40_000
    answers: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder, serve(Path(folder) / "data") as server:

        def measure() -> float:
            answers.append(server.load(64, requests, LINE_BYTES))
            return answers[-1]["entries"] / answers[-1]["seconds"]

        measure()
        answers.clear()
        rate, bound, ratio = _paired(
            runs, measure, lambda: limits.append_and_sync(payloads, 2_000, scratch)
        )
    return [
        Row(
            "ingest, 1 entry a request, 64 connections",
            "entries/s",
            rate,
            "append + fdatasync of each",
            bound,
            ratio,
            runs,
            _latency(answers),
        )
    ]


def _latency(answers: list[dict[str, float]]) -> str:
    p50 = statistics.median(answer["p50_ms"] for answer in answers)
    p99 = statistics.median(answer["p99_ms"] for answer in answers)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def read_back(runs: int, scratch: Path, batches: int = 300) -> list[Row]:
    """verify, search and lookup over about a million entries."""
    payloads = bodies(16, MIB)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        data = Path(folder) / "data"
        with serve(data) as server:
            entries = int(server.load(8, batches, MIB)["entries"])
            _wait_indexed(server, entries)
            rows = [_search(runs, server, entries), _lookup(runs, server)]
        rows += _verify(runs, data, payloads, entries)
    return rows


def _wait_indexed(server: Server, entries: int) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        answer = server.get("/api/v1/logs/default/search?limit=1")
        if answer["lag"] == 0:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{entries} entries were not indexed in ten minutes")


def _timed(server: Server, path: str) -> float:
    started = time.perf_counter()
    server.get(path)
    return 1 / (time.perf_counter() - started)


def _search(runs: int, server: Server, entries: int) -> Row:
    path = "/api/v1/logs/default/search?q=status:%3E%3D500+path:/api/*&limit=100"
    rate, bound, ratio = _paired(
        runs, lambda: _timed(server, path), lambda: _timed(server, "/healthz")
    )
    return Row(
        f"search, first page of {entries:,} entries",
        "queries/s",
        rate,
        "the same round trip with nothing to do",
        bound,
        ratio,
        runs,
    )


def _lookup(runs: int, server: Server) -> Row:
    path = "/api/v1/logs/default/shards/{}/entries/{}/proof"
    logs = server.get("/api/v1/logs")["logs"]
    shard = logs[0]["shards"][0]["shard"]  # type: ignore[index]
    numbers = iter(range(1000, 1_000_000, 4_801))

    def prove() -> float:
        import urllib.request

        started = time.perf_counter()
        with urllib.request.urlopen(server.url + path.format(shard, next(numbers))) as answer:
            answer.read()
        return 1 / (time.perf_counter() - started)

    rate, bound, ratio = _paired(max(runs, 20), prove, lambda: _timed(server, "/healthz"))
    return Row(
        "proof of an entry",
        "proofs/s",
        rate,
        "the same round trip with nothing to do",
        bound,
        ratio,
        max(runs, 20),
    )


def _verify(runs: int, data: Path, payloads: list[bytes], entries: int) -> list[Row]:
    from muniment.memory import keep_large_buffers
    from muniment.trust.directory import verify_directory

    keep_large_buffers()  # as `muniment verify` does

    def measure() -> float:
        started = time.perf_counter()
        report = verify_directory(data / "logs" / "default", jobs=2)
        if not report.intact:
            raise RuntimeError(str(report.findings[0]))
        return entries / (time.perf_counter() - started)

    per_body = payloads[0].count(b"\n")
    rate, bound, ratio = _paired(runs, measure, lambda: limits.sha256(payloads, 300) * per_body)
    return [Row("verify, --jobs 2", "entries/s", rate, "SHA-256, one core", bound, ratio, runs)]


MEASURES: dict[str, Callable[[int, Path], list[Row]]] = {
    "batches": ingest_batches,
    "single": ingest_single,
    "read": read_back,
}
