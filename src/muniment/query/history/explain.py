"""What happened around a moment: acts, changes, reloads, gaps and what came of them, as a timeline.

The items are joined where they name the same thing: a change and a rise of errors by frontend,
backend or server; an act and a change by the object; records of one request by its ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from muniment.event import ocsf
from muniment.query.history import acts
from muniment.query.history.acts import Names, Row
from muniment.query.history.blame import SLACK
from muniment.query.history.rise import Rise
from muniment.query.history.version import milliseconds

TRAFFIC = "class:(4001 OR 4002)"
ERRORS = "(status:>=500 OR (status_id:failure NOT status:*))"
"""Requests that the balancer or a server failed, and connections that ended without an answer."""

CHANGES = "source:change"
RELOADS = "class:lifecycle NOT source:change"
GAPS = "source:muniment action:*gap*"
WHERE = (
    "load_balancer.name",
    "load_balancer.dst_endpoint.svc_name",
    "load_balancer.dst_endpoint.name",
)
"""The columns of frontend, backend and server."""

PLACES = ("frontend", "backend", "server")
_PROCESS = "process"
_OBSERVE = 2
Item = dict[str, Any]


def narrowed(where: Mapping[str, str]) -> str:
    """Returns the query for the traffic through a frontend, backend or server."""
    server, backend = where.get("server", ""), where.get("backend", "")
    if backend:
        return f"{TRAFFIC} backend:{acts.quoted(backend)}"
    if server or where.get("frontend"):
        name = "server" if server else "frontend"
        return f"{TRAFFIC} {name}:{acts.quoted(where[name])}"
    return TRAFFIC


def where_of(row: Row) -> dict[str, str]:
    """Returns the frontend, backend and server of a row, as far as it has them."""
    balancer = row.get("load_balancer") or {}
    target = balancer.get("dst_endpoint") or {}
    found = (balancer.get("name"), target.get("svc_name"), target.get("name"))
    return {key: value for key, value in zip(PLACES, found, strict=True) if value}


def change_item(row: Row) -> Item:
    """A change of an object; of a balancer's process it is a reload, at first sight neither."""
    entity = row.get("entity") or {}
    kind = str(entity.get("type") or "").partition(".")[2]
    extra, seen = _extra(row), row.get("activity_id") == _OBSERVE
    what = "seen" if seen else "reload" if kind == _PROCESS else "change"
    return {
        **_item(row, what, str(row.get("message", ""))),
        "object": entity.get("uid", ""),
        "since": extra.get("since", ""),
        "where": where_of(row),
        "names": [one for one in extra.get("names") or [] if isinstance(one, str)],
    }


def act_item(row: Row) -> Item:
    """An act in an audit log."""
    who, where, how = acts.who(row) or "somebody", acts.where(row), acts.how(row)
    text = f"{who}: {acts.operation(row)} {_resources(row)}".rstrip()
    text += f" (from {where}, {how})" if where else f" ({how})"
    failed = acts.failed(row)
    return {**_item(row, "act", f"{text}: {failed}" if failed else text), "failed": bool(failed)}


def reload_item(row: Row) -> Item:
    """A message of a balancer about itself."""
    return {**_item(row, "reload", str(row.get("message", ""))), "where": where_of(row)}


def gap_item(row: Row) -> Item:
    """A record that something is missing."""
    text = row.get("status_detail") or row.get("comment") or row.get("message") or "a gap"
    return _item(row, "gap", str(text))


def effect_item(rise: Rise, places: Sequence[Mapping[str, Any]], time: str) -> Item:
    """The rise of errors itself."""
    text = (
        f"errors rose from {_percent(rise.before)} to {_percent(rise.share)}: "
        f"{rise.errors:,} of {rise.count:,} requests failed"
    )
    if places:
        text += f", most of them at {_place(places[0])}"
    return {"time": time, "kind": "effect", "object": "", "text": text, "entry": None, "joins": []}


def _item(row: Row, kind: str, text: str) -> Item:
    return {
        "time": row.get("time_dt", ""),
        "kind": kind,
        "object": "",
        "text": text[:1_000],
        "entry": acts.place(row),
        "requests": list(acts.request_ids(row)),
    }


def _extra(row: Row) -> dict[str, Any]:
    try:
        found = orjson.loads(row.get("unmapped") or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _resources(row: Row) -> str:
    found = [one for one in row.get("resources") or [] if isinstance(one, Mapping)]
    names = [
        "/".join(str(one[key]) for key in ("type", "namespace", "name") if one.get(key))
        or str(one.get("uid", ""))
        for one in found[:3]
    ]
    return ", ".join(names) + (" …" if len(found) > 3 else "")


def is_reload(row: Row) -> bool:
    """Whether a message of a balancer tells of more than a health check that went as before."""
    return row.get("activity_id") in (
        *(ocsf.INSTALL, ocsf.REMOVE, ocsf.START, ocsf.STOP, ocsf.RESTART),
        *(ocsf.ENABLE, ocsf.DISABLE, ocsf.UPDATE),
    )


def join(items: Sequence[Item], rows: Mapping[tuple[str, int], Row], rise: Item | None) -> None:
    """Gives items that belong together `joins`: [{"to": place or "effect", "by"}].

    `rows` are the rows of the acts by their place, `rise` the item of the effect with `places`.
    """
    changes = [item for item in items if item["object"] and item["kind"] != "seen"]
    for item in items:
        if item["kind"] == "act":
            row = rows[item["entry"]["shard"], item["entry"]["index"]]
            item["joins"] = list(_of_act(item, row, changes))
    for change in changes:
        change["joins"] = list(_of_change(change, rise))


def _of_act(act: Item, row: Row, changes: Sequence[Item]) -> Iterable[Item]:
    at = milliseconds(act["time"]) or 0
    # An act between the looks of one change of an object made that one, and no other of it.
    made = {change["object"] for change in changes if _made_at(change, at)}
    for change in changes:
        both = set(act["requests"]) & set(change["requests"])
        if both:
            yield {"to": change["entry"], "by": f"request {min(both)}"}
            continue
        if change["object"] in made and not _made_at(change, at):
            continue
        end = milliseconds(change["time"]) or 0
        begin = milliseconds(change["since"]) or end
        reason = acts.named(row, Names.of(change["object"], change["names"]))
        if reason and begin - SLACK <= at <= end + SLACK:
            yield {"to": change["entry"], "by": f"object {change['object']}: {reason}"}


def _made_at(change: Item, at: int) -> bool:
    since, time = milliseconds(change["since"]), milliseconds(change["time"])
    return since is not None and time is not None and since < at <= time


def _of_change(change: Item, rise: Item | None) -> Iterable[Item]:
    """A change that was seen before the rise ended, of something that the failures went through."""
    if rise is None or change["time"] > rise["end"]:
        return
    for key in reversed(PLACES):
        if any(_is_part(change["where"], place, key) for place in rise["where"]):
            yield {"to": "effect", "by": f"{key} {change['where'][key]}"}
            return
    for place in rise["where"]:
        backend = str(place.get("backend") or "")
        if _is_named_after(backend, change["object"]):
            yield {"to": "effect", "by": f"backend {backend}"}
            return


def _is_named_after(backend: str, name: str) -> bool:
    """Whether a backend has the name that ingress controllers make: NAMESPACE-NAME-PORT."""
    system, _, rest = name.partition(":")
    parts = rest.split("/")[2:]
    if system != "kubernetes" or len(parts) != 2:
        return False
    return any(f"{backend}{mark}".startswith(f"{mark.join(parts)}{mark}") for mark in "-_")


def _is_part(where: Mapping[str, str], place: Mapping[str, Any], key: str) -> bool:
    """Whether both have the same name under `key`, and no other one in which that stands."""
    around = PLACES[1 : PLACES.index(key)]
    if any(where.get(k) and place.get(k) and where[k] != place[k] for k in around):
        return False
    return bool(where.get(key)) and where[key] == place.get(key)


def summary(items: Sequence[Item], rise: Item | None) -> list[str]:
    """Returns in plain words what belongs together: who, what, when, and what came of it."""
    told: list[str] = []
    for change in items:
        if not change["object"] or change["kind"] == "seen":
            continue
        by = [
            act
            for act in items
            if act["kind"] == "act" and not act["failed"] and _belongs(act, change)
        ]
        effect = [one["by"] for one in change.get("joins", ()) if one["to"] == "effect"]
        if not effect and not by and rise is not None:
            continue
        words = f"{change['time']}: {change['text']}"
        if by:
            words += f"; by {by[0]['text']}"
        if effect and rise is not None:
            words += f"; {_later(change['time'], rise['start'])} errors rose at {effect[0]}"
        told.append(words)
    if rise is None:
        told.append("errors did not rise in this time")
    elif not any("errors rose" in one for one in told):
        told.append("no change that was seen belongs to where errors rose" + _nearest(items, rise))
    return told[:20]


def _nearest(items: Sequence[Item], rise: Item) -> str:
    """The last change or reload before the rise, though nothing but the time says so."""
    kinds = ("change", "reload")
    before = [item for item in items if item["kind"] in kinds and item["time"] <= rise["start"]]
    if not before:
        return ""
    last = before[-1]
    return f"; the last before it, {last['time']}: {last['text']}"


def _belongs(act: Item, change: Item) -> bool:
    return any(one["to"] == change["entry"] for one in act.get("joins", ()))


def _later(change: str, rise: str) -> str:
    seconds = ((milliseconds(rise) or 0) - (milliseconds(change) or 0)) / 1_000
    if abs(seconds) < 1:
        return "at the same time"
    return f"{abs(seconds):,.0f} s {'later' if seconds > 0 else 'before it was seen'}"


def _place(place: Mapping[str, Any]) -> str:
    return " ".join(f"{key} {place[key]}" for key in PLACES if place.get(key)) or "no known place"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
