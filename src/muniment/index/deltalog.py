"""Reading the Delta log of an index: live parts, removed files, cursors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from muniment.index.part import Part, name_shard

LOG = "_delta_log"
LAST_CHECKPOINT = f"{LOG}/_last_checkpoint"
_COMMIT = re.compile(r"(\d{20})\.json\Z", re.ASCII)
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet\Z", re.ASCII)


def commit_path(version: int) -> str:
    """Returns the path of the file of one version."""
    return f"{LOG}/{version:020d}.json"


def checkpoint_path(version: int) -> str:
    """Returns the path of the checkpoint of one version."""
    return f"{LOG}/{version:020d}.checkpoint.parquet"


def commit_version(path: str) -> int | None:
    """Returns the version that a commit file is of; None for any other file."""
    found = _COMMIT.match(path.rpartition("/")[2])
    return int(found[1]) if found else None


def checkpoint_version(path: str) -> int | None:
    """Returns the version that a checkpoint is of; None for any other file."""
    found = _CHECKPOINT.match(path.rpartition("/")[2])
    return int(found[1]) if found else None


def live_parts(table: DeltaTable) -> list[Part]:
    """Returns the parts that a table consists of now."""
    actions = pa.table(table.get_add_actions(flatten=True))
    return [_part(row) for row in actions.to_pylist()]


def _part(row: dict[str, Any]) -> Part:
    return Part(
        path=row["path"],
        size=row["size_bytes"],
        shard=name_shard(row["path"]),
        day=row["partition.day"],
        rows=row["num_records"],
        first=row["min.index"],
        last=row["max.index"],
        earliest=row["min.time"],
        latest=row["max.time"],
    )


def removed_paths(directory: Path, files: Iterable[str]) -> set[str]:
    """Returns the parts that commits and checkpoints among `files` (relative paths) removed.

    Raises OSError or ValueError where one cannot be read.
    """
    found: set[str] = set()
    for file in files:
        if commit_version(file) is not None:
            found.update(a["remove"]["path"] for a in actions(directory / file) if "remove" in a)
        elif checkpoint_version(file) is not None:
            removed = pq.read_table(directory / file, columns=["remove"])["remove"].to_pylist()
            found.update(item["path"] for item in removed if item)
    return found


def transactions(directory: Path, files: Iterable[str]) -> dict[str, int]:
    """Returns the last version that the commits and checkpoints among `files` note of each name.

    Raises OSError or ValueError where one cannot be read.
    """
    found: dict[str, int] = {}
    commits = {v: file for file in files if (v := commit_version(file)) is not None}
    checkpoints = {v: file for file in files if (v := checkpoint_version(file)) is not None}
    for version in sorted(commits.keys() | checkpoints.keys()):
        noted: list[dict[str, Any]] = []
        if version in commits:
            noted += [a["txn"] for a in actions(directory / commits[version]) if "txn" in a]
        if version in checkpoints:
            file = directory / checkpoints[version]
            noted += [one for one in pq.read_table(file, columns=["txn"])["txn"].to_pylist() if one]
        found |= {one["appId"]: one["version"] for one in noted}
    return found


def actions(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the actions of a commit file. Raises OSError, or ValueError where it is torn."""
    data = path.read_bytes()
    if not data:
        raise ValueError("an empty commit")
    for line in data.splitlines():
        yield orjson.loads(line)
