"""DuckDB, Polars, deltalake, PyArrow and Spark read the index of a real node where it lies."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from muniment.index.check import check_index
from muniment.index.columns import leaf_columns
from muniment.index.table import TABLE_SCHEMA
from tests.engines import READERS, Reader, leaves

from .harness.server import LOG, MunimentServer, serving
from .harness.spark import spark_sql

SAMPLES = Path(__file__).parents[1] / "data"
LINES, BODY = 150_000, 15_000
"""More rows than are kept in memory at most, so that parts come about while the node writes."""


@dataclass(frozen=True)
class Node:
    """A node, its index, how many rows the table of it has, and what a reader saw meanwhile."""

    server: MunimentServer
    index: Path
    size: int
    seen: list[int]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that took lines of several kinds, was restarted, and is at rest."""
    with serving(tmp_path_factory.mktemp("engines")) as server:
        index = server.data / "index" / LOG
        seen: list[int] = []
        done = threading.Event()
        beside = threading.Thread(target=_read_beside, args=(index, done, seen))
        server.accepted(
            (SAMPLES / "haproxy" / "udp_rfc3164_len8192.log").read_bytes(), source="haproxy"
        )
        beside.start()
        try:
            lines = [b"line %d" % number for number in range(LINES)]
            for start in range(0, LINES, BODY):
                server.accepted(b"\n".join(lines[start : start + BODY]))
            for number in range(4):
                body = b"".join(_event(number + one) for one in range(5))
                server.accepted(body, source="json", kind="application/x-ndjson")
            nginx = (SAMPLES / "nginx" / "access_combined.log").read_bytes()
            server.accepted(nginx, source="nginx")
            server.wait_indexed()
            server.restart()  # what is in memory becomes a part
            server.wait_indexed()
        finally:
            done.set()
            beside.join(60)
        yield Node(server, index, int(server.shard()["size"]), seen)


def _event(number: int) -> bytes:
    action = "PUT" if number % 2 else "DELETE"
    return b'{"actor":"user%d","action":"%s","resource":"backend/app"}\n' % (
        number % 3,
        action.encode(),
    )


def _read_beside(index: Path, done: threading.Event, seen: list[int]) -> None:
    """Counts the rows of snapshot after snapshot; one whose files go meanwhile is taken again."""
    while not done.is_set():
        try:
            table = DeltaTable(str(index))
            rows = table.to_pyarrow_dataset().to_table(columns=["shard", "index"])
            (shard,) = set(rows["shard"].to_pylist()) or {""}
            assert rows.num_rows == (table.transaction_version(shard) or 0)
            assert set(rows["index"].to_pylist()) == set(range(rows.num_rows))
            seen.append(rows.num_rows)
        except (FileNotFoundError, DeltaError):
            time.sleep(0.05)
        except AssertionError as error:
            seen.append(-1)
            raise error


def test_snapshots_beside_a_writing_node_are_whole(node: Node) -> None:
    """Each holds the entries from 0 to its cursor, each once, and none goes back."""
    assert len(node.seen) > 3 and node.seen == sorted(node.seen) and -1 not in node.seen
    assert len(set(node.seen)) > 1


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_all_engines_count_what_muniment_counts(read: Reader, node: Node) -> None:
    found = leaves(read(node.index))
    assert len(found["index"]) == node.size
    held = [name for name, values in sorted(found.items()) if values.count(None) < node.size]
    held.remove("day")
    assert len(held) > 40
    for start in range(0, len(held), 20):
        names = held[start : start + 20]
        counts = ", ".join(f"count({_quoted(name)})" for name in names)
        (answer,) = node.server.sql(f"SELECT {counts} FROM events")
        here = [sum(value is not None for value in found[name]) for name in names]
        assert dict(zip(names, answer, strict=True)) == dict(zip(names, here, strict=True))


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def test_what_the_guide_asks_is_what_muniment_answers(node: Node) -> None:
    events = pl.scan_delta(str(node.index))
    code = pl.col("http_response").struct.field("code")
    wrong = events.filter(code >= 500).select(pl.len()).collect().item()
    status = "http_response.code >= 500"
    assert [[wrong]] == node.server.sql(f"SELECT count(*) FROM events WHERE {status}")
    actor = pl.col("actor").struct.field("user").struct.field("name").alias("who")
    who = events.group_by(actor).len().filter(pl.col("who").is_not_null()).sort("who").collect()
    own = node.server.sql(
        "SELECT actor.user.name, count(*) FROM events WHERE actor.user.name IS NOT NULL "
        "GROUP BY 1 ORDER BY 1"
    )
    assert [list(row) for row in who.rows()] == own and own


def test_a_row_leads_to_its_entry(node: Node) -> None:
    events = pl.scan_delta(str(node.index))
    found = events.filter(pl.col("class_uid") == 4002)
    (row,) = found.select("log", "shard", "index", "raw_data").limit(1).collect().to_dicts()
    entry = node.server.entry(row["index"], row["shard"])
    assert entry.partition(b"\n")[2].decode() == row["raw_data"] and row["log"] == LOG


def test_spark_counts_what_muniment_counts(node: Node, tmp_path: Path) -> None:
    columns = sorted(leaf_columns(TABLE_SCHEMA) - {"day"})
    counts = ", ".join(
        "count(" + ".".join(f"`{part}`" for part in name.split(".")) + f") AS c{number}"
        for number, name in enumerate(columns)
    )
    totals, rows = spark_sql(
        node.index,
        tmp_path,
        f"SELECT {counts} FROM events",
        "SELECT shard, index, raw_data, day FROM events ORDER BY index",
    )
    table = pq.read_table(rows)
    assert table["index"].to_pylist() == list(range(node.size))
    other = leaves(READERS["pyarrow"](node.index))
    assert table["raw_data"].to_pylist() == other["raw_data"]
    assert table["day"].to_pylist() == other["day"]
    (answer,) = pq.read_table(totals).to_pylist()
    for number, name in enumerate(columns):
        assert answer[f"c{number}"] == sum(v is not None for v in other[name]), name


def test_nobody_left_anything_behind(node: Node) -> None:
    node.server.stop()
    assert check_index(node.index) == []
