"""Traefik's API and metrics, as far as they say what is configured and how much was served.

`/api/rawdata` holds routers, services and middlewares for HTTP, TCP and UDP, as they are in effect.
It has no certificates and no TLS options: Traefik does not tell them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families

from muniment.balancer.pages import NotSeen, Pages

KINDS = {
    "routers": "router",
    "services": "service",
    "middlewares": "middleware",
    "tcpRouters": "tcp-router",
    "tcpServices": "tcp-service",
    "tcpMiddlewares": "tcp-middleware",
    "udpRouters": "udp-router",
    "udpServices": "udp-service",
}
"""The members of /api/rawdata and what one of each is called."""

SERVED = "traefik_entrypoint_requests_total"
_DERIVED = ("using", "usedBy", "serverStatus", "name", "provider", "type")
_ORDERLESS = ("services", "mirrors")


class Traefik:
    """A Traefik's API at `url`, and its metrics where they are at `metrics`."""

    def __init__(self, url: str, metrics: str | None = None, ca: Path | None = None) -> None:
        self._api = Pages(url, ca=ca)
        self._metrics = Pages(metrics, ca=ca) if metrics else None

    def rawdata(self) -> dict[str, Any]:
        """Returns /api/rawdata. Raises NotSeen."""
        return self._api.json("/api/rawdata")

    def version(self) -> dict[str, Any]:
        """Returns /api/version: Version, Codename, startDate. Raises NotSeen."""
        return self._api.json("/api/version")

    def entrypoints(self) -> list[dict[str, Any]]:
        """Returns /api/entrypoints. Raises NotSeen."""
        try:
            found = orjson.loads(self._api.text("/api/entrypoints"))
        except orjson.JSONDecodeError as error:
            raise NotSeen(f"/api/entrypoints is no JSON: {error}") from error
        if not isinstance(found, list):
            raise NotSeen("/api/entrypoints is not a list")
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)]

    def served(self) -> dict[str, int] | None:
        """Returns how many requests each entry point served; None where no metrics are asked for.

        Raises NotSeen.
        """
        if self._metrics is None:
            return None
        return served(self._metrics.text(""))

    def close(self) -> None:
        self._api.close()
        if self._metrics is not None:
            self._metrics.close()


def served(page: bytes) -> dict[str, int]:
    """Returns the requests of each entry point on a page of metrics. Raises NotSeen."""
    text = page.decode("utf-8", "replace")
    wanted = "\n".join(line for line in text.split("\n") if line.startswith(SERVED + "{"))
    counts: dict[str, int] = {}
    try:
        for family in text_string_to_metric_families(wanted + "\n"):
            for sample in family.samples:
                door = sample.labels.get("entrypoint", "")
                counts[door] = counts.get(door, 0) + int(sample.value)
    except (ValueError, KeyError, IndexError, OverflowError, AttributeError) as error:
        raise NotSeen(f"the page of metrics cannot be read: {error}") from error
    return counts


def configured(raw: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields kind, name and configuration of everything in /api/rawdata."""
    for member, kind in KINDS.items():
        for name, told in sorted(_named(raw, member)):
            yield kind, name, normal(told)


def health(raw: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yields kind, name and the servers that are not up, of services that tell it."""
    for member in ("services", "tcpServices", "udpServices"):
        for name, told in sorted(_named(raw, member)):
            status = told.get("serverStatus")
            if isinstance(status, dict):
                yield (
                    KINDS[member],
                    name,
                    {server: str(said) for server, said in status.items() if said != "UP"},
                )


def _named(raw: dict[str, Any], member: str) -> list[tuple[str, dict[str, Any]]]:
    found = raw.get(member)
    if not isinstance(found, dict):
        return []
    return [(name, told) for name, told in found.items() if isinstance(told, dict)]


def normal(told: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration without what follows from others, in an order that means nothing.

    Servers stand under their address. `status` and `error` stay only where it is not enabled.
    """
    made = {key: value for key, value in told.items() if key not in _DERIVED}
    if made.get("status") == "enabled":
        del made["status"]
    for key in ("error", "entryPoints"):
        if isinstance(made.get(key), list):
            made[key] = sorted(map(str, made[key]))
    for key, value in made.items():
        if isinstance(value, dict):
            made[key] = _inner(value)
    return made


def _inner(value: dict[str, Any]) -> dict[str, Any]:
    made = dict(value)
    if isinstance(made.get("servers"), list):
        made["servers"] = by_address(made["servers"])
    for key in _ORDERLESS:
        if isinstance(made.get(key), list):
            made[key] = sorted(made[key], key=lambda one: orjson.dumps(one, option=_SORTED))
    return made


_SORTED = orjson.OPT_SORT_KEYS


def by_address(servers: list[Any]) -> dict[str, Any]:
    """Returns servers by their address; one that is there twice has `#2` behind it."""
    made: dict[str, Any] = {}
    for server in servers:
        told = dict(server) if isinstance(server, dict) else {}
        address = str(told.pop("url", None) or told.pop("address", None) or "")
        name, number = address, 1
        while name in made:
            number += 1
            name = f"{address} #{number}"
        made[name] = told
    return made
