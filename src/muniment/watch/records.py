"""Records of completeness, in the native form: what a gap record says, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from muniment.watch.reconcile import Act, Finding
from muniment.watch.sequence import Hole

ACTIONS = "completeness."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Record = dict[str, object]


class Counted(NamedTuple):
    """Which counter: of which instance, under which name, as who told it."""

    sender: str
    instance: str
    name: str


class Numbered(NamedTuple):
    """Which stream of which sender."""

    sender: str
    stream: str


def instant_text(ms: int) -> str:
    """Returns milliseconds since the epoch as RFC 3339 in UTC."""
    text = (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def of_counter(key: Counted, match: str, found: Finding) -> Record:
    """The record of something that counters and entries say together."""
    start, end = instant_text(found.start), instant_text(found.end)
    record: Record = {
        "time": end,
        "action": found.act.value,
        "resource": f"{key.instance}/frontend/{key.name}",
        "outcome": "success" if found.act is Act.CLOSED else "failure",
        "reason": "counters",
        "message": _words(key.name, found, start, end),
        "instance": key.instance,
        "name": key.name,
        "match": match,
        "from": start,
        "to": end,
    }
    if key.sender:
        record["sender"] = key.sender
    if found.act is Act.UNKNOWN:
        return record | {"outcome": "unknown", "epoch": found.epoch}
    record |= {"served": found.served, "epoch": found.epoch, "since": instant_text(found.anchor)}
    if found.act is Act.GAP:
        record |= {
            "arrived": found.served - found.number,
            "missing": found.number,
            "exact": found.exact,
        }
    elif found.act is Act.CLOSED:
        record |= {"arrived": found.number}
    else:
        record |= {"arrived": found.served + found.number, "surplus": found.number}
    return record | {"total": found.total}


def _words(name: str, found: Finding, start: str, end: str) -> str:
    between = f"between {start} and {end}"
    match found.act:
        case Act.GAP:
            least = "" if found.exact else "at least "
            there = found.served - found.number
            return (
                f"{name} served {found.served:,} requests {between}, {there:,} entries arrived, "
                f"{least}{found.number:,} missing"
            )
        case Act.CLOSED:
            return (
                f"{found.number:,} entries of {name} that were missing since {start} arrived late, "
                f"{found.total:,} are still missing"
            )
        case Act.SURPLUS:
            return (
                f"{name} served {found.served:,} requests {between}, but {found.number:,} more "
                "entries than that arrived: does another instance log under its name?"
            )
    return (
        f"{name} began to count anew: what it served {between} is not known, nor whether "
        "entries are missing"
    )


def of_hole(key: Numbered, act: Act, hole: Hole, now: int) -> Record:
    """The record of numbers of a stream that are missing, or that came after all."""
    numbers = f"records {hole.first:,} to {hole.last:,} of the stream {key.stream}"
    missing = act is Act.GAP
    record = _of_stream(key, act, now)
    record |= {
        "outcome": "failure" if missing else "success",
        "message": f"{numbers} {'are missing' if missing else 'arrived late'}",
        "from": instant_text(hole.since),
        "to": instant_text(now),
        "first": hole.first,
        "last": hole.last,
        "missing" if missing else "arrived": hole.count,
    }
    return record


_BEGUN = ": sent again, or the agent lost its state and began again (`muniment verify` tells which)"


def of_repeated(key: Numbered, first: int, last: int, again: int, now: int) -> Record:
    """The record of numbers that came more than once."""
    return _of_stream(key, Act.REPEATED, now) | {
        "outcome": "other",
        "message": f"{again:,} records of {first:,} to {last:,} of the stream {key.stream} "
        "came more than once" + (_BEGUN if first == 1 else ""),
        "first": first,
        "last": last,
        "repeated": again,
    }


def _of_stream(key: Numbered, act: Act, now: int) -> Record:
    record: Record = {
        "time": instant_text(now),
        "action": act.value,
        "resource": f"stream:{key.stream}",
        "reason": "sequence",
        "stream": key.stream,
    }
    return record | {"sender": key.sender} if key.sender else record


def milliseconds(text: object) -> int | None:
    """Returns RFC 3339 text as milliseconds since the epoch; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def fields_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the members of a record as it was put; empty for what is none."""
    import orjson

    try:
        found = orjson.loads(row.get("raw_data") or "")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
