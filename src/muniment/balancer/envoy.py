"""Envoy's administration interface, as far as it says what is configured and in effect.

Listeners, clusters and routes are those of `/config_dump`, endpoints those that another than the
cluster's own configuration named (EDS, DNS). Envoy replaces private keys and other fields that its
API marks as sensitive by `[redacted]` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.balancer.pages import NotSeen, Pages

_SERVED = re.compile(r"http\.(.+)\.downstream_rq_total")
_SERVED_FILTER = "/stats?format=json&filter=%5Ehttp%5C..%2B%5C.downstream_rq_total%24"
_NAMED_ELSEWHERE = ("EDS", "STRICT_DNS", "envoy.cluster.eds", "envoy.cluster.strict_dns")
"""Clusters whose endpoints are not in their own configuration, and do not come and go with single
requests as those of ORIGINAL_DST and LOGICAL_DNS do."""


class Envoy:
    """An Envoy's administration interface at `url`, or behind a Unix socket."""

    def __init__(self, url: str, socket: Path | None = None, ca: Path | None = None) -> None:
        self._pages = Pages(url, socket, ca)

    def config_dump(self) -> dict[str, Any]:
        """Returns /config_dump with endpoints. Raises NotSeen."""
        return self._pages.json("/config_dump?include_eds")

    def clusters(self) -> dict[str, Any]:
        """Returns /clusters. Raises NotSeen."""
        return self._pages.json("/clusters?format=json")

    def certs(self) -> dict[str, Any]:
        """Returns /certs. Raises NotSeen."""
        return self._pages.json("/certs")

    def runtime(self) -> dict[str, Any]:
        """Returns /runtime. Raises NotSeen."""
        return self._pages.json("/runtime")

    def server_info(self) -> dict[str, Any]:
        """Returns /server_info. Raises NotSeen."""
        return self._pages.json("/server_info")

    def served(self) -> dict[str, int]:
        """Returns how many requests each HTTP connection manager began, by `stat_prefix`.

        Raises NotSeen.
        """
        counts: dict[str, int] = {}
        for stat in _list(self._pages.json(_SERVED_FILTER), "stats"):
            found = _SERVED.fullmatch(str(stat.get("name", "")))
            value = stat.get("value", 0)
            if found is not None and isinstance(value, int) and found[1] != "admin":
                counts[found[1]] = value
        return counts

    def close(self) -> None:
        self._pages.close()


@dataclass(frozen=True, slots=True)
class Resource:
    """Something configured. `at` is when Envoy took it, `version` what its source calls it."""

    kind: str
    name: str
    state: dict[str, Any]
    at: str = ""
    version: str = ""
    where: Mapping[str, str] = field(default_factory=dict)


def _list(told: Any, member: str) -> list[dict[str, Any]]:
    found = told.get(member) if isinstance(told, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _parts(dump: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for part in _list(dump, "configs"):
        if str(part.get("@type", "")).endswith(f".{kind}ConfigDump"):
            yield part


def started(dump: dict[str, Any]) -> str:
    """Returns when this process read its bootstrap. Raises NotSeen."""
    for part in _parts(dump, "Bootstrap"):
        if isinstance(part.get("last_updated"), str):
            return str(part["last_updated"])
    raise NotSeen("/config_dump has no time of the bootstrap")


def resources(dump: dict[str, Any]) -> Iterator[Resource]:
    """Yields listeners, clusters, dynamic routes, servers, secrets and what else is configured.

    What a route or an endpoint says inside a listener's or a cluster's own configuration is part of
    that listener or cluster.
    """
    for part in _parts(dump, "Listeners"):
        yield from _static(part, "static_listeners", "listener", "frontend")
        yield from _listeners(part)
    for part in _parts(dump, "Clusters"):
        yield from _static(part, "static_clusters", "cluster", "backend")
        yield from _static(part, "dynamic_active_clusters", "cluster", "backend")
    for part in _parts(dump, "Routes"):
        yield from _static(part, "dynamic_route_configs", "route_config", "", "route")
    for part in _parts(dump, "ScopedRoutes"):
        yield from _static(part, "dynamic_scoped_route_configs", "", "", "scoped-route")
    for part in _parts(dump, "Secrets"):
        for member in ("static_secrets", "dynamic_active_secrets"):
            yield from _static(part, member, "secret", "")
    yield from _bootstrap(dump)
    yield from servers(dump)


def _static(
    part: dict[str, Any], member: str, inner: str, column: str, kind: str = ""
) -> Iterator[Resource]:
    for told in _list(part, member):
        found = told.get(inner) if inner else told
        made = _resource(kind or inner, told, found, column)
        if made is not None:
            yield made


def _listeners(part: dict[str, Any]) -> Iterator[Resource]:
    """Yields the dynamic listeners that serve, or would; one that only drains is gone."""
    for told in _list(part, "dynamic_listeners"):
        shown = told.get("active_state") or told.get("warming_state")
        if isinstance(shown, dict):
            merged = {**shown, "error_state": told.get("error_state")}
            made = _resource("listener", merged, shown.get("listener"), "frontend")
            if made is not None:
                yield made


def _resource(kind: str, told: dict[str, Any], state: Any, column: str) -> Resource | None:
    if not isinstance(state, dict):
        return None
    name = state.get("name") or told.get("name")
    if not isinstance(name, str) or not name:
        return None
    left = ("@type", "last_updated", "version_info", "error_state", "client_status")
    kept = {key: value for key, value in state.items() if key not in left}
    refused = told.get("error_state")
    if isinstance(refused, dict):  # the last update was not taken: what runs is not what was sent
        kept["refused"] = str(refused.get("details", ""))[:2_000]
    return Resource(
        kind,
        name,
        kept,
        str(told.get("last_updated") or ""),
        str(told.get("version_info") or ""),
        {column: name} if column else {},
    )


def _bootstrap(dump: dict[str, Any]) -> Iterator[Resource]:
    """Yields the bootstrap without what has objects of its own, or is the binary's."""
    for part in _parts(dump, "Bootstrap"):
        told = part.get("bootstrap")
        if isinstance(told, dict):
            node = told.get("node")
            named = ("id", "cluster", "locality", "metadata")
            kept = {key: value for key, value in told.items() if key != "static_resources"}
            if isinstance(node, dict):
                kept["node"] = {key: value for key, value in node.items() if key in named}
            yield Resource("bootstrap", "bootstrap", kept, str(part.get("last_updated") or ""))


def _elsewhere(dump: dict[str, Any]) -> set[str]:
    """The clusters whose endpoints are named by others than their configuration."""
    found = set()
    for part in _parts(dump, "Clusters"):
        for member in ("static_clusters", "dynamic_active_clusters"):
            for told in _list(part, member):
                cluster = told.get("cluster")
                if isinstance(cluster, dict) and _kind_of(cluster) in _NAMED_ELSEWHERE:
                    found.add(str(cluster.get("name", "")))
    return found


def _kind_of(cluster: dict[str, Any]) -> str:
    custom = cluster.get("cluster_type")
    if not isinstance(custom, dict):
        return str(cluster.get("type", "STATIC"))
    config = custom.get("typed_config")
    single = isinstance(config, dict) and config.get("all_addresses_in_single_endpoint")
    if custom.get("name") == "envoy.cluster.dns" and not single:
        return "STRICT_DNS"
    return str(custom.get("name", ""))


def servers(dump: dict[str, Any]) -> Iterator[Resource]:
    """Yields the endpoints of clusters that get them from elsewhere, and those clusters' policy."""
    wanted = _elsewhere(dump)
    for part in _parts(dump, "Endpoints"):
        for member in ("static_endpoint_configs", "dynamic_endpoint_configs"):
            for told in _list(part, member):
                config = told.get("endpoint_config")
                if isinstance(config, dict) and config.get("cluster_name") in wanted:
                    yield from _assigned(str(config["cluster_name"]), config)


def _assigned(cluster: str, config: dict[str, Any]) -> Iterator[Resource]:
    policy = config.get("policy")
    yield Resource("endpoints", cluster, {"policy": policy}, where={"backend": cluster})
    for locality in _list(config, "endpoints"):
        shared = {
            "locality": locality.get("locality") or {},
            "priority": locality.get("priority", 0),
            "locality_weight": locality.get("load_balancing_weight", 0),
        }
        for told in _list(locality, "lb_endpoints"):
            endpoint = told.get("endpoint")
            place = address_of(endpoint)
            state = {
                **shared,
                "weight": told.get("load_balancing_weight", 1),
                "metadata": told.get("metadata") or {},
                "hostname": str((endpoint or {}).get("hostname", "")),
            }
            where = {"backend": cluster, "server": place}
            yield Resource("server", f"{cluster}/{place}", state, where=where)


def address_of(told: Any) -> str:
    """Returns `10.0.0.2:80`, the path of a pipe or the name of an internal listener."""
    address = told.get("address") if isinstance(told, dict) else None
    if not isinstance(address, dict):
        return "unknown"
    place = address.get("socket_address")
    if isinstance(place, dict):
        host = str(place.get("address", ""))
        port = place.get("port_value", place.get("named_port", 0))
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    pipe = address.get("pipe") or address.get("envoy_internal_address") or {}
    return str(pipe.get("path") or pipe.get("server_listener_name") or "unknown")


def health(clusters: dict[str, Any]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yields each cluster and what is wrong with those of its servers that are not healthy."""
    for cluster in _list(clusters, "cluster_statuses"):
        down: dict[str, list[str]] = {}
        for host in _list(cluster, "host_statuses"):
            told = host.get("health_status")
            flags = _flags(told) if isinstance(told, dict) else []
            if flags:
                down[address_of(host)] = flags
        yield str(cluster.get("name", "")), down


def _flags(told: dict[str, Any]) -> list[str]:
    flags = sorted(key for key, value in told.items() if value is True)
    said = told.get("eds_health_status", "HEALTHY")
    return flags if said in ("HEALTHY", "UNKNOWN") else [*flags, f"eds:{said}"]


def certificates(certs: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields the certificates in use by where they came from: a file, or `inline/` and its names.

    `role` is `chain` for those that Envoy shows, `authority` for those that it trusts.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for pair in _list(certs, "certificates"):
        for member, role in (("cert_chain", "chain"), ("ca_cert", "authority")):
            for told in _list(pair, member):
                names = sorted(str(next(iter(n.values()), "")) for n in _list(told, _NAMES))
                path = str(told.get("path") or "<inline>")
                if path == "<inline>":
                    path = f"inline/{role}/{','.join(names)}"
                serial = str(told.get("serial_number", ""))
                found.setdefault(path.lstrip("/"), {})[serial + role] = {
                    "role": role,
                    "serial": serial,
                    "names": names,
                    "not_before": str(told.get("valid_from", "")),
                    "not_after": str(told.get("expiration_time", "")),
                }
    for path, held in sorted(found.items()):
        yield path, [held[key] for key in sorted(held)]


_NAMES = "subject_alt_names"
