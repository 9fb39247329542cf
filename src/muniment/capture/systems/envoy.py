"""Looks at an Envoy: what is in effect, its certificates, its runtime, who is down, what served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from muniment.balancer.envoy import Envoy, certificates, health, resources, started
from muniment.capture.port import Counter, Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Local, Watched
from muniment.capture.snapshot import Snapshot
from muniment.capture.systems.headers import without_secrets
from muniment.capture.systems.looking import counted, looked, scope

Objects = dict[str, Snapshot]
_CERTIFICATE = ("certificate_chain", "trusted_ca")
"""Members of a secret that hold certificates; /certs says which are in use."""


class Settings(Watched):
    """A section `[[envoy]]`."""

    url: str = Field(
        default="http://127.0.0.1:9901", description="Where the administration interface is."
    )
    socket: Local | None = Field(
        default=None, description="The Unix socket of the administration interface."
    )
    ca: Local | None = Field(default=None, description="PEM file of who signed its certificate.")
    match: str = Field(
        default="metadata.product.name:Envoy class:http",
        description="The query that finds the access log entries of all its HTTP listeners.",
    )
    listeners: Mapping[str, str] = Field(
        default_factory=dict,
        description="Queries by the `stat_prefix` of an HTTP connection manager. Where there are "
        "any, only these are counted, each for itself.",
    )


def watchers(settings: Settings, redact: Redact) -> list[Watcher]:
    """Returns the watcher of an Envoy."""
    return [EnvoyWatcher(settings, redact)]


class EnvoyWatcher:
    """Looks at one Envoy."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings, self._redact = settings, redact
        self._envoy = Envoy(settings.url, settings.socket, settings.ca)
        self.name = f"envoy:{settings.name}"
        self.every = settings.every

    def observe(self) -> Iterable[Observation]:
        """Looks at everything that has a page."""
        dump, error = looked(self._envoy.config_dump)
        yield scope("configuration", dump, error, self._configured)
        certs, failed = looked(self._envoy.certs)
        yield scope("certificates", certs, failed, self._certificates)
        clusters, failed = looked(self._envoy.clusters)
        yield scope("health", clusters, failed, self._health)
        runtime, failed = looked(self._envoy.runtime)
        yield scope("runtime", runtime, failed, self._runtime)
        info, failed = looked(self._envoy.server_info)
        if dump is None or info is None:
            yield Observation("process", error=error or failed)
            return
        yield scope("process", dump, "", lambda dump: self._process(dump, info))
        served, at, failed = counted(self._envoy.served)
        epoch, unknown = looked(lambda: _epoch(dump, info))
        counters: list[Counter] = []
        if served is not None and epoch is not None:
            counters += self._counters(served, epoch)
        yield Observation("counters", counters=counters, counted=at, error=failed or unknown)

    def close(self) -> None:
        """Ends its connections."""
        self._envoy.close()

    def _configured(self, dump: dict[str, Any]) -> Objects:
        made: Objects = {}
        for one in resources(dump):
            state, found = without_secrets(one.state, self._redact)
            assert isinstance(state, dict)
            if one.kind == "secret":
                _leave_certificates(state)
            by = {"time": one.at, "request": one.version}
            made[f"{self.name}/{one.kind}/{one.name}"] = Snapshot(
                state,
                redacted=found,
                by={key: said for key, said in by.items() if said},
                where=one.where,
            )
        return made

    def _certificates(self, certs: dict[str, Any]) -> Objects:
        return {
            f"{self.name}/certificate/{path}": Snapshot({"certificates": [*held]})
            for path, held in certificates(certs)
        }

    def _health(self, clusters: dict[str, Any]) -> Objects:
        return {
            f"{self.name}/health/{name}": Snapshot(
                {"down": {server: [*flags] for server, flags in down.items()}},
                where={"backend": name},
            )
            for name, down in health(clusters)
        }

    def _runtime(self, runtime: dict[str, Any]) -> Objects:
        layers = [str(one) for one in runtime.get("layers", [])]
        made: Objects = {}
        for key, told in runtime.get("entries", {}).items():
            values = dict(zip(layers, map(str, told.get("layer_values", [])), strict=False))
            given = {layer: value for layer, value in values.items() if value}
            final = str(told.get("final_value", ""))
            state, found = without_secrets({key: final, "layers": {**given}}, self._redact)
            assert isinstance(state, dict)
            state["value"] = state.pop(key)
            made[f"{self.name}/runtime/{key}"] = Snapshot(state, redacted=found)
        return made

    def _process(self, dump: dict[str, Any], info: dict[str, Any]) -> Objects:
        state = {
            "version": str(info.get("version", "")),
            "state": str(info.get("state", "")),
            "epoch": _epoch(dump, info),
        }
        return {f"{self.name}/process/envoy": Snapshot({**state})}

    def _counters(self, served: dict[str, int], epoch: str) -> Iterator[Counter]:
        if not self._settings.listeners:
            yield Counter("http", sum(served.values()), epoch, self._settings.match)
        for prefix, match in self._settings.listeners.items():
            yield Counter(prefix, served.get(prefix, 0), epoch, match)


def _epoch(dump: dict[str, Any], info: dict[str, Any]) -> str:
    options = info.get("command_line_options")
    restarts = options.get("restart_epoch", 0) if isinstance(options, dict) else 0
    return f"{started(dump)} restart {restarts}"


def _leave_certificates(state: dict[str, Any]) -> None:
    """Takes certificates out of a secret: they are objects, and change once, not twice."""
    for told in state.values():
        if isinstance(told, dict):
            for member in _CERTIFICATE:
                source = told.get(member)
                if isinstance(source, dict):
                    told[member] = {k: v for k, v in source.items() if not k.startswith("inline")}
