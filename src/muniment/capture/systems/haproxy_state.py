"""HAProxy's objects, made from the answers of its stats socket.

What moves by itself (counters, ages, timings of checks, addresses of memory) is left out. What
checks say of a server is an object of its own, so that a server changes only because somebody, the
configuration, an agent check or DNS says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from muniment.balancer import haproxy
from muniment.capture.redaction import Redact, names_secret
from muniment.capture.snapshot import Json, Snapshot, State

Row = Mapping[str, str]

MAX_ENTRIES = 10_000
"""Entries of a map or an ACL; of a larger one, how many there are and a digest are captured."""

FRONTEND, SERVER = "0", "2"
"""Column `type` of `show stat`."""

_MAINTENANCE = {0x01: "runtime", 0x02: "tracked", 0x20: "dns", 0x40: "hostname"}
_DRAIN = {0x08: "runtime", 0x10: "tracked"}
_FROM_CONFIG = 0x04
_DOWN, _STOPPING = "0", "3"
"""Column `srv_op_state`."""

_CONFIGURED, _ENABLED = 0x02, 0x04
_STATUS = {"STOP": "stopped", "PAUSED": "paused"}
_RATES = {
    "ConnRateLimit": "connections",
    "SessRateLimit": "sessions",
    "SslRateLimit": "ssl-sessions",
    "CompressBpsRateLim": "http-compression",
}
"""Of `show info`, and as `set rate-limit` calls them."""


def bare(path: str) -> str:
    """Returns a file's name as object names have it: without its first slash."""
    return path.removeprefix("/")


def number(text: str) -> int | None:
    """Returns a column's whole number; None where it is empty or something else."""
    plain = text.removeprefix("-")
    return int(text) if plain.isascii() and plain.isdigit() and len(plain) < 19 else None


def servers(states: Iterable[Row], stats: Iterable[Row]) -> Iterator[tuple[str, Snapshot]]:
    """Yields `server/backend/server` and what is set of it."""
    for row, limit in _joined(states, stats):
        yield _named("server", row, _server(row, limit))


def health(states: Iterable[Row], stats: Iterable[Row]) -> Iterator[tuple[str, Snapshot]]:
    """Yields `health/backend/server` and what checks say; servers that nothing checks have none.

    Checks rest in maintenance, and HAProxy calls such a server down: that is an act, no finding.
    """
    for row, limit in _joined(states, stats):
        checks = (number(row.get(bits, "")) or 0 for bits in ("srv_check_state", "srv_agent_state"))
        if not limit.get("tracked") and not any(flags & _CONFIGURED for flags in checks):
            continue
        found = row.get("srv_op_state")
        rests = _admin(number(row.get("srv_admin_state", "")) or 0)[0] == "maint"
        state: State = {"down": found == _DOWN and not rests}
        if found == _STOPPING:
            state["stopping"] = True
        yield _named("health", row, state)


def _joined(states: Iterable[Row], stats: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Yields each server's row of `show servers state`, and that of `show stat`."""
    limits = {
        (row.get("pxname", ""), row.get("svname", "")): row
        for row in stats
        if row.get("type") == SERVER
    }
    for row in states:
        backend, name = row.get("be_name", ""), row.get("srv_name", "")
        if backend and name:
            yield row, limits.get((backend, name), {})


def _named(kind: str, row: Row, state: State) -> tuple[str, Snapshot]:
    backend, name = row["be_name"], row["srv_name"]
    own = f"{backend}/{name}"
    where = {"backend": backend, "server": name}
    return f"{kind}/{own}", Snapshot(state, names=[own], where=where)


def _server(row: Row, limit: Row) -> State:
    admin, by = _admin(number(row.get("srv_admin_state", "")) or 0)
    state: State = {
        "address": row.get("srv_addr", ""),
        "port": number(row.get("srv_port", "")),
        "weight": number(row.get("srv_uweight", "")),
        "initial_weight": number(row.get("srv_iweight", "")),
        "admin": admin,
    }
    if by:
        state["admin_by"] = by
    maxconn = number(limit.get("slim", ""))
    if maxconn is not None:
        state["maxconn"] = maxconn
    if limit.get("bck") == "1":
        state["backup"] = True
    if row.get("srv_use_ssl") == "1":
        state["ssl"] = True
    for member, text in (
        ("fqdn", row.get("srv_fqdn", "")),
        ("cookie", limit.get("cookie", "")),
        ("check_address", row.get("srv_check_addr", "")),
        ("agent_address", row.get("srv_agent_addr", "")),
    ):
        if text not in ("", "-"):
            state[member] = text
    for member, bits in (("check", "srv_check_state"), ("agent", "srv_agent_state")):
        flags = number(row.get(bits, "")) or 0
        if flags & _CONFIGURED:
            state[member] = bool(flags & _ENABLED)
            port = number(row.get(f"srv_{member}_port", ""))
            if port:
                state[f"{member}_port"] = port
    return state


def _admin(bits: int) -> tuple[str, list[Json]]:
    """The administrative state, and what holds the server in it."""
    for state, holders in (("maint", _MAINTENANCE), ("drain", _DRAIN)):
        by: list[Json] = [who for bit, who in holders.items() if bits & bit]
        if by:
            if state == "maint" and bits & _FROM_CONFIG:
                by = ["config" if who == "runtime" else who for who in by]
            return state, by
    return "ready", []


def doors(stats: Iterable[Row]) -> Iterator[tuple[str, Snapshot]]:
    """Yields `frontend/name` and `backend/name` with what can be set of them."""
    for row in stats:
        name, what = row.get("pxname", ""), row.get("svname", "")
        if what == "FRONTEND":
            state: State = {
                "mode": row.get("mode", ""),
                "status": _STATUS.get(row.get("status", ""), "open"),
                "maxconn": number(row.get("slim", "")),
                "rate_limit": number(row.get("rate_lim", "")),
            }
            yield f"frontend/{name}", Snapshot(state, names=[name], where={"frontend": name})
        elif what == "BACKEND":
            state = {"mode": row.get("mode", ""), "algorithm": row.get("algo", "")}
            yield f"backend/{name}", Snapshot(state, names=[name], where={"backend": name})


def process(info: Row) -> Snapshot:
    """Returns the process: which it is, and what can be set of it as a whole."""
    state: State = {
        "version": info.get("Version", ""),
        "pid": number(info.get("Pid", "")),
        "threads": number(info.get("Nbthread", "")),
        "maxconn": number(info.get("Maxconn", "")),
        "hard_maxconn": number(info.get("Hard_maxconn", "")),
        "rate_limits": {word: number(info[name]) for name, word in _RATES.items() if name in info},
    }
    if "Start_time_sec" in info:
        state["started"] = number(info["Start_time_sec"].partition(".")[0])
    if info.get("Description"):
        state["description"] = info["Description"]
    return Snapshot(state, names=[info["Node"]] if info.get("Node") else ())


def certificate(text: str) -> State | None:
    """Returns what a certificate in use is; None where the file has none yet."""
    _, found = next(haproxy.described(text))
    if found.get("Status") == "Empty" or not found.get("Serial"):
        return None
    return _facts(found) | {"status": found.get("Status", "").lower()}


def authorities(text: str) -> State:
    """Returns what a CA file or a CRL file holds: the facts of each of its parts."""
    parts = list(haproxy.described(text))
    listed: list[Json] = []
    for heading, found in parts[1:]:
        facts = _facts(found)
        if heading.startswith("CRL"):
            facts |= {"signature": found.get("Signature Algorithm", ""), "text": heading}
        if facts:
            listed.append(facts)
    return {"status": parts[0][1].get("Status", "").lower(), "holds": listed}


_FACTS = {
    "Serial": "serial",
    "Subject": "subject",
    "Issuer": "issuer",
    "notBefore": "not_before",
    "notAfter": "not_after",
    "Last Update": "last_update",
    "Next Update": "next_update",
    "Subject Alternative Name": "names",
    "Algorithm": "key",
    "SHA1 FingerPrint": "sha1",
    "Chain Subject": "chain_subject",
    "Chain Issuer": "chain_issuer",
}


def _facts(found: Mapping[str, str]) -> State:
    state: State = {ours: found[theirs] for theirs, ours in _FACTS.items() if found.get(theirs)}
    if isinstance(state.get("names"), str):
        given = (name.strip() for name in str(state["names"]).split(","))
        state["names"] = [*sorted(filter(None, given))]
    if isinstance(state.get("sha1"), str):
        state["sha1"] = str(state["sha1"]).lower()
    return state


def entries(kind: str, file: haproxy.PatternFile, text: str, redact: Redact) -> Snapshot:
    """Returns a map or an ACL with its entries, or their number and digest where they are many.

    The entries of a map are `{key: value}`, or `{key: [values]}` where a key is there more than
    once; those of an ACL `{pattern: how often}`. Their order is no part of it. Entries of a file
    whose name says that they are secrets are redacted.
    """
    lines = list(haproxy.acl_entries(text))
    state: State = {"file": file.file} if file.file else {"criterion": file.criterion}
    names = [file.file] if file.file else []
    if len(lines) > MAX_ENTRIES:
        digest = sha256("\n".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest()
        return Snapshot(state | {"count": len(lines), "sha256": digest}, names=names)
    made: dict[str, Json] = {}
    secret = names_secret(file.file.rpartition("/")[2].rpartition(".")[0] or file.file)
    for line in lines:
        key, _, value = line.partition(" ") if kind == "map" else (line, "", "")
        _add(made, kind, redact(key) if secret else key, redact(value) if secret else value)
    state["entries"] = made
    return Snapshot(state, redacted=["/entries"] if secret and made else (), names=names)


def _add(made: dict[str, Json], kind: str, key: str, value: str) -> None:
    there = made.get(key)
    if kind == "acl":
        made[key] = there + 1 if isinstance(there, int) else 1
    elif there is None:
        made[key] = value
    elif isinstance(there, list):
        there.append(value)
    else:
        made[key] = [there, value]
