"""Who did it: the acts in audit logs that fit a version in time and name its object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from muniment.event import ocsf
from muniment.query.history import acts
from muniment.query.history.acts import Names, Row
from muniment.query.history.version import milliseconds

SLACK = 5_000
"""Milliseconds by which the clocks of those who act and those who look may differ."""

MAX_EVIDENCE = 50


def stretch(time: int, since: int | None) -> tuple[int, int]:
    """Returns the stretch of time in which a change was made, with slack; the end is excluded."""
    return (time if since is None else min(since, time)) - SLACK, time + SLACK + 1


def looks(version: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns the looks that a version was made between: not before the one, by the other."""
    start, end = milliseconds(version["since"]), milliseconds(version["time"])
    return None if start is None or end is None else (start, end)


def evidence(
    rows: Sequence[Row],
    names: Names,
    version: Mapping[str, Any],
    others: Sequence[tuple[int, int]] = (),
) -> list[dict[str, Any]]:
    """Returns who may have made a version, the certain ones first.

    `rows` are those that `acts.acts_query` found in the stretch of time. An act is certain that
    names the object as what it acts on, changes something and went well; `why` says what is known.
    One act is preferred to others that are certain, too: that which made the resource version of
    Kubernetes that the state has (`by.revision`), and those between the two looks to those around.
    `others` are the looks of other versions of the object: what lies between those, and not between
    this version's own, made another version.
    """
    found = []
    for row in acts.whole_requests(rows):
        reason = acts.named(row, names)
        if reason and not (row.get("class_uid") in _ACTS and row.get("activity_id") == _READ):
            found.append((row, _item(row, reason, str(version["change"]))))
    revision = str(version["by"].get("revision", ""))
    _prefer(
        found,
        lambda row: acts.made_revision(row, revision),
        f"it made resource version {revision}, which this is",
        "another act made the resource version that this is",
    )
    own = looks(version)
    if own is not None:
        _prefer(found, lambda row: _between(row, own), "", "it is not between the looks")
        for row, item in found:
            if not item["certain"] or _between(row, own) or acts.made_revision(row, revision):
                continue
            if any(_between(row, other) for other in others):
                item["certain"] = False
                item["why"] += "; it is between the looks of another version"
    items = sorted((item for _, item in found), key=lambda item: not item["certain"])
    return items[:MAX_EVIDENCE]


def _between(row: Row, looks: tuple[int, int]) -> bool:
    return bool(looks[0] < row["time"] <= looks[1])


def _prefer(
    found: Sequence[tuple[Row, dict[str, Any]]],
    fits: Callable[[Row], bool],
    why: str,
    why_not: str,
) -> None:
    """Where a certain act fits, those that do not are no longer certain."""
    certain = [(item, fits(row)) for row, item in found if item["certain"]]
    if not any(fitting for _, fitting in certain):
        return
    for item, fitting in certain:
        item["certain"] = fitting
        said = why if fitting else why_not
        item["why"] += f"; {said}" if said else ""


_READ = 2
_FITTING = {"create": (1, 3), "update": (3,), "delete": (4,)}
"""activity_id of the acts at a Kubernetes API that can have made such a change."""

_ACTS = (ocsf.API_ACTIVITY, ocsf.ENTITY_MANAGEMENT)


def _item(row: Row, reason: str, change: str) -> dict[str, Any]:
    failed = acts.failed(row)
    write = acts.is_write(row)
    doubts = [failed] if failed else []
    if row.get("class_uid") == ocsf.APPLICATION_LIFECYCLE:
        doubts.append("a message of the balancer itself: it says what, not who")
    elif not write:
        doubts.append("nothing says that it changes anything")
    elif row.get("source") == "kubernetes" and row.get("activity_id") not in _FITTING[change]:
        doubts.append(f"{acts.operation(row)} is no {change}")
    elif acts.writes_status(row):
        doubts.append("it writes the status, not what is wanted")
    elif reason.startswith("it mentions"):
        doubts.append("it may be about something else")
    return {
        "who": acts.who(row),
        "where": acts.where(row),
        "how": acts.how(row),
        "action": acts.operation(row),
        "time": row.get("time_dt", ""),
        "entry": acts.place(row),
        "request": next(iter(acts.request_ids(row)), ""),
        "certain": not doubts,
        "why": "; ".join([reason, *doubts]),
    }


def own_word(by: dict[str, str], system: str, time: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Returns what the system itself says of who changed an object last (`by` of a snapshot).

    It is certain where it names a user; a tool alone is none.
    """
    user, tool = by.get("user", ""), by.get("tool", "")
    return {
        "who": user or tool,
        "where": "",
        "how": tool or system,
        "action": "",
        "time": by.get("time") or time,
        "entry": entry,
        "request": by.get("request", ""),
        "certain": bool(user),
        "why": f"{system} itself says so" + ("" if user else "; it names no user"),
    }


def conclusion(version: Mapping[str, Any], found: Sequence[dict[str, Any]]) -> str:
    """Returns in one sentence what is known of who made a version."""
    since, time = version["since"], version["time"]
    between = f"between {since} and {time}" if since else f"before {time}"
    written = version["by"].get("time")
    between += f" (last written {written})" if written else ""
    if version["change"] == "observe":
        return f"first seen at {time}; when it became so is not known, nor by whom"
    certain = [item for item in found if item["certain"]]
    if certain:
        names = dict.fromkeys(_told(item) for item in certain)
        return f"changed {between} by {', or '.join(names)}"
    if any(item["who"] for item in found):
        return f"no certain evidence of who: changed {between}; see what fits"
    return f"no evidence of who: changed {between}"


def _told(item: dict[str, Any]) -> str:
    parts = [item["who"] or "somebody"]
    parts += [f"from {item['where']}"] if item["where"] else []
    parts += [f"through {item['how']}"] if item["how"] else []
    return " ".join(parts)
