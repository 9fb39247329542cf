"""Muniment and its peers in turn, each on a fresh server, and what they gave pair by pair."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

from bench.lines import LINE_BYTES
from bench.measures import MIB, Row
from bench.server import Server, serve

Answer = dict[str, float]
"""As bench.load prints it: requests, entries, seconds, p50_ms, p99_ms (0 where nothing answers)."""

Measure = Callable[[Path], Answer]
"""Starts a server in an empty directory, warms it up, loads it, counts what it stored, stops it."""

CLIENT_SECONDS = 300
_ENTRIES = "/api/v1/logs/default/entries?as=json"


def paired(
    what: str, ours: Measure, peers: dict[str, Measure], runs: int, scratch: Path
) -> list[Row]:
    """Returns a row for each peer: Muniment's rate, the peer's, the median of their ratios.

    A run measures Muniment and each peer once; the order turns round from run to run.
    """
    measures = {"": ours, **peers}
    answers: dict[str, list[Answer]] = {name: [] for name in measures}
    for run in range(runs):
        for name in list(measures)[:: -1 if run % 2 else 1]:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                answers[name].append(measures[name](Path(folder).resolve()))
    return [_row(what, name, answers[""], answers[name]) for name in peers]


def _row(what: str, name: str, ours: list[Answer], theirs: list[Answer]) -> Row:
    pairs = [(_rate(a), _rate(b)) for a, b in zip(ours, theirs, strict=True)]
    return Row(
        what=what,
        unit="entries/s",
        rate=statistics.median(a for a, _ in pairs),
        limit=name,
        limit_rate=statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
        runs=len(pairs),
        detail=f"ours {_latency(ours)}; theirs {_latency(theirs)}",
    )


def _rate(answer: Answer) -> float:
    return answer["entries"] / answer["seconds"]


def _latency(answers: list[Answer]) -> str:
    p50 = statistics.median(answer["p50_ms"] for answer in answers)
    p99 = statistics.median(answer["p99_ms"] for answer in answers)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms" if p99 else "answers nothing"


def posted(port: int, path: str, status: int, connections: int, requests: int, seed: int) -> Answer:
    """Posts single entries with a load generator in a process of its own."""
    numbers = [str(number) for number in (status, connections, requests, seed)]
    return asked([sys.executable, "-m", "bench.peers.load", str(port), path, *numbers])


def asked(command: list[str]) -> Answer:
    """Runs a load generator and returns what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=CLIENT_SECONDS)
    return cast(Answer, json.loads(done.stdout))


def stored(wanted: float, found: float, who: str) -> None:
    """Ends the measurement where a server did not store each entry that it answered for."""
    if wanted != found:
        raise RuntimeError(f"{who} stored {found:,.0f} entries of {wanted:,.0f}")


def single(connections: int, requests: int, warm_up: int) -> Measure:
    """Returns Muniment's measure of one entry a request."""

    def measure(folder: Path) -> Answer:
        with serve(folder / "data") as server:
            posted(server.port, _ENTRIES, 201, connections, warm_up, 1)
            answer = posted(server.port, _ENTRIES, 201, connections, requests, 2)
            stored(requests + warm_up, _size(server), "Muniment")
        return answer

    return measure


def batches(connections: int, requests: int, warm_up: int) -> Measure:
    """Returns Muniment's measure of 1 MiB of lines a request."""

    def measure(folder: Path) -> Answer:
        with serve(folder / "data") as server:
            server.load(connections, warm_up, MIB)
            answer = server.load(connections, requests, MIB)
            lines = MIB // (LINE_BYTES + 1)
            stored((requests + warm_up) * lines, _size(server), "Muniment")
        return answer

    return measure


def _size(server: Server) -> int:
    logs = cast(list[dict[str, list[dict[str, int]]]], server.get("/api/v1/logs")["logs"])
    return sum(shard["size"] for log in logs for shard in log["shards"])
