"""Acts in audit logs: which rows to look for, which object they name, who, from where and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from muniment.event import ocsf

Row = Mapping[str, Any]

WRITES = frozenset((1, 3, 4))
"""activity_id of create, update and delete, the same in API Activity and Entity Management."""

_ACT_CLASSES = (ocsf.API_ACTIVITY, ocsf.ENTITY_MANAGEMENT, ocsf.AUTHENTICATION)
_KUBERNETES_NOISE = (
    *("leases", "events", "endpoints", "endpointslices", "tokenreviews"),
    *("subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews"),
)
_MIN_MENTION = 8
_MAX_NAMES = 12


@dataclass(frozen=True, slots=True)
class Names:
    """All names of an object: its own in Muniment, and those under which other logs know it."""

    object: str
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, others: Iterable[str] = ()) -> Names:
        """`name` is `system:instance/kind/own`; the own name counts as one of the others."""
        own = name.split("/", 2)[-1]
        slashed = [f"/{own}"] if "/" in own else []
        found = dict.fromkeys((*others, own, *slashed))
        found.pop(name, None)
        return cls(name, tuple(one for one in found if one)[:_MAX_NAMES])

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, the object's first."""
        return (self.object, *self.others)


def acts_query(names: Names) -> str:
    """Returns the query for acts and messages that may name the object; `named` looks closer."""
    tests = []
    for name in names.all:
        word = quoted(name)
        tests += [f"resource:{word}", f"app.name:{word}"]
        last = name.rpartition("/")[2]
        if "/" in name and last:
            tests.append(f"resources.name:{quoted(last)}")
        if len(name) >= _MIN_MENTION:
            tests.append(word)
    found = " OR ".join(dict.fromkeys(tests))
    while len(found) > 3_500 or found.count(" OR ") > 50:
        found = found.rpartition(" OR ")[0]
    classes = " ".join(map(str, (*_ACT_CLASSES, ocsf.APPLICATION_LIFECYCLE)))
    return f"NOT source:change class:({' OR '.join(classes.split())}) ({found})"


def writes_query() -> str:
    """Returns the query for all acts that change something, without Kubernetes' own noise."""
    noise = " OR ".join(_KUBERNETES_NOISE)
    return (
        "NOT source:change ((class:6003 activity_id:(1 OR 3 OR 4)) OR class:3004 OR "
        f"(source:muniment action:rollback.*)) NOT resources.type:({noise})"
    )


def quoted(text: str) -> str:
    """Returns text as one word of a query that is taken as it stands."""
    plain = text.replace("\0", "")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def named(row: Row, names: Names) -> str:
    """Returns how a row names the object, in words; empty where it does not."""
    for resource in _resources(row):
        for told in _as_named(resource):
            if told in names.all:
                return f"its resource is {told}"
    app = _text(row, "app", "name")
    if app and app in names.all:
        return f"it is about {app}"
    path = unquote(_text(row, "http_request", "url", "path"))
    if path and any(path == one or path.endswith(f"/{one.lstrip('/')}") for one in names.all):
        return f"its path is {path}"
    raw = str(row.get("raw_data") or "")
    for one in names.all:
        if len(one) >= _MIN_MENTION and f'"{one}"' in raw:
            return f"it mentions {one}"
    return ""


def _resources(row: Row) -> list[Mapping[str, Any]]:
    listed = row.get("resources") or []
    found = [one for one in listed if isinstance(one, Mapping)]
    entity = row.get("entity")
    return [*found, entity] if isinstance(entity, Mapping) else found


def _as_named(resource: Mapping[str, Any]) -> list[str]:
    """A resource under the names that objects have: uid, name, `ingresses/default/web`."""
    uid, name = str(resource.get("uid") or ""), str(resource.get("name") or "")
    kind, space = str(resource.get("type") or ""), str(resource.get("namespace") or "")
    if not space and not (kind and kind.islower()):
        return [one for one in (uid, name) if one]
    # A name alone says little where there are kinds and namespaces.
    kinds = dict.fromkeys((kind, kind.partition("/")[0]))
    paths = ["/".join(part for part in (one, space, name) if part) for one in kinds]
    return [one for one in (uid, *paths) if one]


def is_write(row: Row) -> bool:
    """Whether a row is an act that changes something; a dry run changes nothing."""
    if is_rollback(row):
        return True
    if row.get("class_uid") not in _ACT_CLASSES or row.get("activity_id") not in WRITES:
        return False
    return "dryRun=All" not in _text(row, "http_request", "url", "query_string")


def writes_status(row: Row) -> bool:
    """Whether an act writes no more than the status of a Kubernetes object."""
    kinds = [str(one.get("type") or "") for one in _resources(row)]
    return bool(kinds) and all(kind.endswith("/status") for kind in kinds)


def made_revision(row: Row, revision: str) -> bool:
    """Whether the answer to an act has this resource version of Kubernetes."""
    return bool(revision) and f'"resourceVersion":"{revision}"' in str(row.get("raw_data") or "")


def is_rollback(row: Row) -> bool:
    """Whether a row is a record of a rollback."""
    return row.get("source") == "muniment" and operation(row).startswith("rollback.")


def failed(row: Row) -> str:
    """Returns why an act did not happen, in words; empty where nothing says so."""
    if row.get("status_id") != ocsf.FAILURE:
        return ""
    code = row.get("status_code") or ""
    detail = str(row.get("status_detail") or "")[:200]
    return " ".join(str(part) for part in ("it failed", code, detail) if part)


def who(row: Row) -> str:
    """Returns the actor; `alice as bob` where somebody acted as somebody else."""
    actor = _name(row.get("actor", {}).get("user") if isinstance(row.get("actor"), dict) else None)
    other = _name(row.get("user"))
    if actor and other and actor != other and row.get("source") == "kubernetes":
        return f"{actor} as {other}"
    return actor or other or _text(row, "actor", "app_name")


def _name(user: Any) -> str:
    if not isinstance(user, Mapping):
        return ""
    return str(user.get("name") or user.get("uid") or user.get("email_addr") or "")


def where(row: Row) -> str:
    """Returns the address acted from."""
    return (
        _text(row, "src_endpoint", "ip")
        or _text(row, "src_endpoint", "hostname")
        or _text(row, "src_endpoint", "name")
    )


_TOOLS = ("kubectl", "helm", "terraform", "argocd", "flux", "aws-cli", "curl", "console.amazonaws")


def how(row: Row) -> str:
    """Returns by which interface, and with which tool where that is known."""
    if is_rollback(row):
        return "muniment rollback"
    source = str(row.get("source") or "").rpartition("/")[2]
    product = _text(row, "metadata", "product", "name")
    service = _text(row, "api", "service", "name")
    face = {"kubernetes": "Kubernetes API", "cloudtrail": "AWS API (CloudTrail)"}.get(source)
    face = face or service or product or source
    agent = _text(row, "http_request", "user_agent")
    tool = next((tool for tool in _TOOLS if tool in agent.lower()), agent.partition(" ")[0][:64])
    return f"{tool}, {face}" if tool and tool != face else face


def operation(row: Row) -> str:
    """Returns what was asked for."""
    return _text(row, "api", "operation") or str(row.get("message") or "")[:200]


def request_ids(row: Row) -> tuple[str, ...]:
    """Returns the ids by which other records of the same request are found."""
    found = (
        _text(row, "metadata", "correlation_uid"),
        _text(row, "http_request", "uid"),
        _text(row, "api", "request", "uid"),
    )
    return tuple(dict.fromkeys(one for one in found if one))


def place(row: Row) -> dict[str, Any]:
    """Returns where the entry of a row stands."""
    return {"shard": row["shard"], "index": row["index"]}


def whole_requests(rows: Sequence[Row]) -> list[Row]:
    """Leaves out the earlier stages of a request that has several rows (Kubernetes audit)."""
    last: dict[str, Row] = {}
    others: list[Row] = []
    for row in rows:
        audit = _text(row, "metadata", "correlation_uid") if row["source"] == "kubernetes" else ""
        if not audit:
            others.append(row)
        elif audit not in last or _stage(row) >= _stage(last[audit]):
            last[audit] = row
    return sorted([*others, *last.values()], key=lambda row: (row["time"], row["index"]))


_STAGES = ("RequestReceived", "ResponseStarted", "Panic", "ResponseComplete")


def _stage(row: Row) -> int:
    stage = _text(row, "metadata", "event_code")
    return _STAGES.index(stage) if stage in _STAGES else -1


def _text(row: Row, *path: str) -> str:
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
