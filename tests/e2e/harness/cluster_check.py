"""What a fleet promised, and whether it was kept: in the log, in its checkpoints, in the index."""

from __future__ import annotations

import struct
import time
from collections import defaultdict
from typing import Any

import httpx

from .cluster import Cluster
from .cluster_load import FileSender, FleetWriter, Load
from .server import LOG, split_entry
from .waiting import wait_for
from .writers import Kept

WIDTH = 256
"""Entries of a whole bundle (C2SP tlog-tiles)."""


def assert_promises_kept(cluster: Cluster, load: Load) -> None:
    """No client saw an error; what they were promised is there, each once, and no more."""
    assert load.errors() == []
    assert load.kept, "the load was too small to say anything"
    assert_in_the_log(cluster, load.kept)
    assert_in_the_index(cluster, load.writers, load.senders)
    assert_checkpoints_go_on(cluster, load.kept)


def assert_in_the_log(cluster: Cluster, kept: list[Kept]) -> None:
    """Every acknowledged entry stands, byte for byte, where its receipt says."""
    places: dict[str, dict[int, bytes]] = defaultdict(dict)
    for one in kept:
        assert one.answer["count"] == len(one.sent.lines)
        for index, line in one.places().items():
            assert places[one.answer["shard"]].setdefault(index, line) == line, one.answer
    for shard, lines in places.items():
        wait_for_shard(cluster, shard, max(lines) + 1)
        with cluster.client(timeout=20) as client:
            stored = Bundles(client, shard, int(cluster.shards()[shard]["size"]))
            for index, line in sorted(lines.items()):
                assert split_entry(stored.entry(index))[1] == line, f"{shard}/{index}"


def wait_for_shard(cluster: Cluster, shard: str, size: int) -> None:
    """Waits until the edge shows so much of a shard."""
    wait_for(
        lambda: int(cluster.shards().get(shard, {}).get("size", -1)) >= size,
        lambda: f"{shard} to have {size} entries: {cluster.shards()}",
        90,
    )


class Bundles:
    """The entries of a shard as the edge serves them, bundle by bundle."""

    def __init__(self, client: httpx.Client, shard: str, size: int) -> None:
        self._client, self._path = client, f"/tlog/{LOG}/{shard}/tile/entries"
        self._size = size
        self._number, self._entries = -1, list[bytes]()

    def entry(self, index: int) -> bytes:
        """One entry, its receipt header included."""
        if index // WIDTH != self._number:
            self._number = index // WIDTH
            self._entries = self._fetch(self._number)
        return self._entries[index % WIDTH]

    def _fetch(self, number: int) -> list[bytes]:
        width = min(WIDTH, self._size - number * WIDTH)
        name = "/".join([*(f"x{part:03}" for part in _upper(number)), f"{number % 1000:03}"])
        path = f"{self._path}/{name}" + (f".p/{width}" if width < WIDTH else "")
        found: list[httpx.Response] = []

        def fetched() -> bool:
            try:
                found[:] = [self._client.get(path)]
            except httpx.TransportError:
                return False
            return found[0].status_code == 200

        wait_for(fetched, lambda: f"{path}: {found and found[0].text}", 60)
        return cut(found[0].content)


def _upper(number: int) -> list[int]:
    parts = []
    while number >= 1000:
        number //= 1000
        parts.append(number % 1000)
    return parts[::-1]


def cut(bundle: bytes) -> list[bytes]:
    """The entries of a bundle: each has its length, in two bytes, before it."""
    entries, offset = [], 0
    while offset < len(bundle):
        (length,) = struct.unpack_from(">H", bundle, offset)
        entries.append(bundle[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return entries


def assert_in_the_index(
    cluster: Cluster, writers: list[FleetWriter], senders: list[FileSender]
) -> None:
    """The index has each line that was sent exactly once, and no line that was not.

    Every client numbers its lines from 1 on: where it has as many rows as numbers, and these are
    1 to what was written, each is there once.
    """
    written = {one.name: one.written for one in writers} | {
        one.name: one.written for one in senders
    }
    wanted = [[name, count, count, 1, count] for name, count in sorted(written.items())]
    statement = (
        "SELECT split_part(raw_data, ' ', 1) AS client, count(*), "
        "count(DISTINCT CAST(split_part(raw_data, ' ', 2) AS BIGINT)), "
        "min(CAST(split_part(raw_data, ' ', 2) AS BIGINT)), "
        "max(CAST(split_part(raw_data, ' ', 2) AS BIGINT)) "
        f"FROM \"{LOG}\" WHERE regexp_matches(raw_data, '^[a-z]+ [0-9]+( [0-9a-f]*)?$') GROUP BY 1 "
        "ORDER BY 1"
    )

    assert_indexed(cluster, statement, wanted)  # rows, numbers, first and last of each client


def assert_indexed(cluster: Cluster, statement: str, wanted: list[list[Any]]) -> None:
    """The rows of a SQL statement, once the index has caught up."""
    deadline = time.monotonic() + 60
    while (found := cluster.sql(statement)) != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == wanted


def assert_checkpoints_go_on(cluster: Cluster, kept: list[Kept]) -> None:
    """The whole log is verified through the edge, and goes on from receipts of every shard."""
    newest: dict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        newest[one.answer["shard"]].append(one)
    chosen = [
        one for of_shard in newest.values() for one in of_shard[:: max(1, len(of_shard) // 5)]
    ]
    chosen += [of_shard[-1] for of_shard in newest.values()]
    receipts = cluster.folder.parent / "receipts"
    receipts.write_text("".join(one.answer["receipt"] for one in chosen))
    code, printed = cluster.muniment(
        *("verify", cluster.url, "--ca", str(cluster.ca), "--trust", str(receipts))
    )
    assert code == 0, printed[-3000:]
