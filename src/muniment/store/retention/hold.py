"""One legal hold: what it covers, and what its entries say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from muniment.errors import Corrupt, InputError
from muniment.store.retention.acts import PLACED, RELEASED
from muniment.store.retention.ranges import MAX_RANGES, Range, Ranges, meets

MAX_TEXT = 1_024
MAX_RECORD = 60_000
"""Bytes of the entry that places a hold."""

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)


class What(StrEnum):
    """What a hold covers."""

    LOG = "log"
    OBJECT = "object"
    QUERY = "query"


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hold. `shard` and `index` are where the entry that placed it stands.

    `object` is the name of a tracked object; `query`, `since` and `until` (RFC 3339) are what was
    asked. `ranges` are by shard; `seen` are the entries of each shard that were looked at.
    `ending` is the release that is about to be put on record: its time, actor and reason.
    """

    name: str
    reason: str
    actor: str
    placed: str
    what: What
    object: str = ""
    query: str = ""
    since: str = ""
    until: str = ""
    ranges: dict[str, list[Range]] = msgspec.field(default_factory=dict)
    seen: dict[str, int] = msgspec.field(default_factory=dict)
    shard: str = ""
    index: int = -1
    ending: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def on_record(self) -> bool:
        """Whether its entry is known to be in the log."""
        return self.index >= 0

    def covers(self, shard: str, first: int, stop: int) -> bool:
        """Whether one of a shard's entries from `first` to before `stop` is held by it."""
        if self.what is What.LOG or (shard == self.shard and first <= self.index < stop):
            return True
        if self.what is What.OBJECT and stop > self.seen.get(shard, 0):
            return True
        return meets(self.ranges.get(shard, []), first, stop)

    def record(self) -> dict[str, Any]:
        """What its entry says."""
        target = {What.LOG: "log", What.OBJECT: f"object {self.object}"}.get(self.what, "query")
        record: dict[str, Any] = {
            "time": self.placed,
            "actor": self.actor,
            "action": PLACED,
            "resource": {"name": self.name, "type": "hold"},
            "outcome": "success",
            "message": f"legal hold {self.name} on {target}: {self.reason}",
        }
        said = msgspec.to_builtins(self)
        kept = {k: said[k] for k in ("what", "object", "query", "since", "until", "ranges", "seen")}
        return record | {"reason": self.reason} | {k: v for k, v in kept.items() if v}

    def release(self) -> dict[str, Any]:
        """What the entry of its release says."""
        return {
            **self.ending,
            "action": RELEASED,
            "resource": {"name": self.name, "type": "hold"},
            "outcome": "success",
            "message": f"legal hold {self.name} released: {self.ending.get('reason')}",
        }


def new_hold(
    name: str,
    reason: str,
    actor: str,
    placed: str,
    what: What,
    **said: Any,
) -> Hold:
    """Returns a hold after checking its texts; its ranges are cut to what an entry can say.

    Raises InputError.
    """
    if not NAME.fullmatch(name):
        raise InputError("a hold's name has 1 to 64 letters, digits, `.`, `_`, `-`")
    if not reason.strip() or len(reason) > MAX_TEXT:
        raise InputError(f"a hold has a reason of 1 to {MAX_TEXT} characters")
    ranges: Mapping[str, list[Range]] = said.pop("ranges", {})
    most = max(1, MAX_RANGES // max(1, len(ranges)))
    few = {shard: Ranges(found, most).list() for shard, found in ranges.items() if found}
    hold = Hold(name, reason, actor, placed, what, ranges=few, **said)
    if len(json.dumps(hold.record(), ensure_ascii=False).encode()) > MAX_RECORD:
        raise InputError("the reason and what the hold is on do not fit into an entry together")
    return hold


def hold_of(record: Mapping[str, Any], shard: str, index: int) -> Hold:
    """Returns the hold that an entry of ours placed. Raises Corrupt."""
    resource = record.get("resource")
    said = {
        "name": resource.get("name") if isinstance(resource, dict) else None,
        "placed": record.get("time"),
        "shard": shard,
        "index": index,
    }
    said |= {name: record[name] for name in ("reason", "actor") if name in record}
    more = ("what", "object", "query", "since", "until", "ranges", "seen")
    said |= {name: record[name] for name in more if name in record}
    try:
        return msgspec.convert(said, Hold)
    except msgspec.ValidationError as error:
        raise Corrupt(f"{shard}/{index}", 0, "an entry that places a hold", str(error)) from error
