"""What the query process is asked about objects, and its answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from muniment.index.log_index import LogIndex
from muniment.index.snapshot import Snapshot
from muniment.query.engine import Engine
from muniment.query.history import lookup
from muniment.query.history.groups import count_groups
from muniment.query.history.lookup import Found
from muniment.query.history.version import Version, choose, numbered


def objects(
    index: LogIndex, snapshot: Snapshot, engine: Engine, prefix: str, after: str, limit: int
) -> dict[str, Any]:
    """Returns {objects, next}: each with its latest version."""
    found, more = lookup.find_objects(index, snapshot, engine, prefix, after, limit)
    listed = [_latest(name, one) for name, one in found.items()]
    return {"objects": listed, "next": listed[-1]["object"] if more and listed else None}


def history(
    index: LogIndex, snapshot: Snapshot, engine: Engine, name: str, limit: int, before: int | None
) -> dict[str, Any]:
    """Returns {object, kind, total, versions, next}: versions with numbers below `before`.

    Newest first; nothing but an empty list where the object is not known.
    """
    kind, versions = _versions(index, snapshot, engine, name)
    total = versions[-1].number if versions else 0
    below = [one for one in versions if before is None or one.number < before]
    shown = below[-limit:]
    return {
        "object": name,
        "kind": kind,
        "total": total,
        "versions": [_version(one) for one in reversed(shown)],
        "next": shown[0].number if len(shown) < len(below) else None,
    }


def version(
    index: LogIndex, snapshot: Snapshot, engine: Engine, name: str, wanted: Sequence[str]
) -> dict[str, Any]:
    """Returns {object, kind, total, versions}: one for each that is wanted, in that order.

    Raises NotFound, QueryError.
    """
    kind, versions = _versions(index, snapshot, engine, name)
    chosen = [choose(versions, said, name) for said in wanted]
    total = versions[-1].number if versions else 0
    return {
        "object": name,
        "kind": kind,
        "total": total,
        "versions": [_version(one) for one in chosen],
    }


def groups(index: LogIndex, snapshot: Snapshot, engine: Engine, **asked: Any) -> dict[str, Any]:
    """Returns {groups}; see `count_groups`."""
    return {"groups": count_groups(index, snapshot, engine, **asked)}


def _versions(
    index: LogIndex, snapshot: Snapshot, engine: Engine, name: str
) -> tuple[str, list[Version]]:
    found = lookup.find_records(index, snapshot, engine, name)
    return ("", []) if found is None else (found.kind, numbered(found.records, found.before))


def _latest(name: str, found: Found) -> dict[str, Any]:
    last = numbered(found.records, found.before)[-1]
    return {"object": name, "kind": found.kind, **_version(last)}


def _version(one: Version) -> Mapping[str, Any]:
    record = one.record
    return {
        "number": one.number,
        "version": record.version,
        "previous": record.previous,
        "change": record.change,
        "time": record.time,
        "since": record.since,
        "entry": {"shard": record.shard, "index": record.index},
    }
