"""Looks at a Traefik: what is in effect, which servers are not up, how much was served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from muniment.balancer.traefik import Traefik, configured, health
from muniment.capture.port import Counter, Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Local, Watched
from muniment.capture.snapshot import Snapshot
from muniment.capture.systems.headers import without_secrets
from muniment.capture.systems.looking import counted, looked, scope

Objects = dict[str, Snapshot]


class Settings(Watched):
    """A section `[[traefik]]`."""

    url: str = Field(
        description="Where Traefik's API is, without /api: http://127.0.0.1:8080. A user and a "
        "password may stand in it."
    )
    metrics: str | None = Field(
        default=None,
        description="The page of Prometheus metrics, whole: http://127.0.0.1:8082/metrics.",
    )
    ca: Local | None = Field(default=None, description="PEM file of who signed its certificate.")
    match: str = Field(
        default="metadata.product.name:Traefik class:http metadata.log_name:access",
        description="The query that finds the log entries of all that Traefik serves.",
    )
    entrypoints: Mapping[str, str] = Field(
        default_factory=dict,
        description="Queries by entry point. Where there are any, only these are counted, each "
        "for itself.",
    )


def watchers(settings: Settings, redact: Redact) -> list[Watcher]:
    """Returns the watcher of a Traefik."""
    return [TraefikWatcher(settings, redact)]


class TraefikWatcher:
    """Looks at one Traefik."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings, self._redact = settings, redact
        self._traefik = Traefik(settings.url, settings.metrics, settings.ca)
        self.name = f"traefik:{settings.name}"
        self.every = settings.every

    def observe(self) -> Iterable[Observation]:
        """Looks at the configuration, the process and the counters."""
        raw, error = looked(self._traefik.rawdata)
        yield scope("configuration", raw, error, self._configured)
        yield scope("health", raw, error, self._health)
        doors, failed = looked(self._traefik.entrypoints)
        yield scope("entrypoints", doors, failed, self._entrypoints)
        version, failed = looked(self._traefik.version)
        yield scope("process", version, failed, self._process)
        if self._settings.metrics is not None and version is not None:
            served, at, failed = counted(self._traefik.served)
            counters = [] if served is None else list(self._counters(served, version))
            yield Observation("counters", counters=counters, counted=at, error=failed)

    def close(self) -> None:
        """Ends its connections."""
        self._traefik.close()

    def _configured(self, raw: dict[str, Any]) -> Objects:
        made: Objects = {}
        for kind, name, told in configured(raw):
            made[f"{self.name}/{kind}/{name}"] = self._snapshot(told, _where(kind, name, told))
        return made

    def _health(self, raw: dict[str, Any]) -> Objects:
        return {
            f"{self.name}/health/{kind}/{name}": Snapshot(
                {"down": dict(down)}, where={"backend": name}
            )
            for kind, name, down in health(raw)
        }

    def _entrypoints(self, doors: list[dict[str, Any]]) -> Objects:
        return {
            f"{self.name}/entrypoint/{door['name']}": self._snapshot(
                {key: value for key, value in door.items() if key != "name"}, {}
            )
            for door in doors
        }

    def _process(self, version: dict[str, Any]) -> Objects:
        state = {key: str(version.get(key, "")) for key in ("Version", "startDate")}
        return {
            f"{self.name}/process/traefik": Snapshot(
                {"version": state["Version"], "started": state["startDate"]}
            )
        }

    def _snapshot(self, told: dict[str, Any], where: Mapping[str, str]) -> Snapshot:
        state, found = without_secrets(told, self._redact)
        assert isinstance(state, dict)
        return Snapshot(state, redacted=found, where=where)

    def _counters(self, served: dict[str, int], version: dict[str, Any]) -> Iterator[Counter]:
        epoch = str(version.get("startDate", ""))
        if not self._settings.entrypoints:
            yield Counter("requests", sum(served.values()), epoch, self._settings.match)
        for door, match in self._settings.entrypoints.items():
            yield Counter(door, served.get(door, 0), epoch, match)


def _where(kind: str, name: str, told: Mapping[str, Any]) -> dict[str, str]:
    """The columns of access log entries: a router is their frontend, a service their backend."""
    if kind.endswith("router"):
        service = told.get("service")
        provider = name.rpartition("@")[2]
        if not isinstance(service, str) or not service:
            return {"frontend": name}
        return {"frontend": name, "backend": service if "@" in service else f"{service}@{provider}"}
    return {"backend": name} if kind.endswith("service") else {}
