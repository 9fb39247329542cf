"""Watches what leads traffic into a Kubernetes cluster: Ingress, Gateway API, Services, TLS.

Every collection is listed once and then watched (`kubernetes_reflector`), so an edit is
learnt when it happens, and two edits between two looks are two events. A collection that the API
server does not serve, such as the Gateway API where it is not installed, is looked for again every
minute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from muniment.balancer.kubernetes import ApiServer, Resource
from muniment.balancer.kubernetes_access import Access
from muniment.balancer.kubernetes_answers import Object
from muniment.capture.port import Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Watched
from muniment.capture.systems.kubernetes_objects import APPS, KINDS, Kind, snapshot_of
from muniment.capture.systems.kubernetes_reflector import Events, Read, Reflector
from muniment.clock import Clock, SystemClock

DISCOVER_SECONDS = 60.0
FIRST_LIST_SECONDS = 30.0
TLS = "type=kubernetes.io/tls"
_ALWAYS = tuple(name for name in KINDS if name not in ("configmaps", *APPS))

_CONFIGMAP = re.compile(r"[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}")
_SCALED = re.compile(rf"(?:{'|'.join(APPS)})/[a-z0-9.-]{{1,253}}/[a-z0-9.-]{{1,253}}")


def _one_of(pattern: re.Pattern[str], form: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r}: write {form}")
        return value

    return check


def _folder(value: Path | None, info: ValidationInfo) -> Path | None:
    """Paths are taken from the folder of the configuration file, where there is one."""
    folder = (info.context or {}).get("folder")
    if value is None:
        return None
    value = value.expanduser()
    return value if folder is None else Path(folder) / value


ConfigMap = Annotated[
    str, AfterValidator(_one_of(_CONFIGMAP, "NAMESPACE/NAME, as in ingress-nginx/controller"))
]
Scaled = Annotated[
    str,
    AfterValidator(_one_of(_SCALED, "KIND/NAMESPACE/NAME, as in deployments/ingress-nginx/main")),
]
Local = Annotated[Path | None, AfterValidator(_folder)]


class Settings(Watched):
    """One cluster. Without kubeconfig and url: the cluster that the agent runs in."""

    kubeconfig: Local = Field(default=None, description="A kubeconfig file.")
    context: str = Field(default="", description="A context of it; empty: its current one.")
    url: str = Field(default="", description="The API server, instead of a kubeconfig.")
    token_file: Local = Field(default=None, description="The bearer token for `url`.")
    ca: Local = Field(default=None, description="The certificate authority of `url`.")
    namespaces: tuple[str, ...] = Field(
        default=(), max_length=100, description="Only these namespaces; empty: all."
    )
    resources: tuple[str, ...] = Field(
        default=_ALWAYS, description="What is watched where it is served, by its plural."
    )
    configmaps: tuple[ConfigMap, ...] = Field(
        default=(), max_length=100, description="ConfigMaps of controllers, as NAMESPACE/NAME."
    )
    configmap_selector: str = Field(
        default="", description="ConfigMaps with these labels, as in `app=ingress`."
    )
    scale: tuple[Scaled, ...] = Field(
        default=(), max_length=100, description="Controllers, as KIND/NAMESPACE/NAME."
    )
    scale_selector: str = Field(
        default="", description="Deployments, StatefulSets and DaemonSets with these labels."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.url and self.kubeconfig is not None:
            raise ValueError("`url` and `kubeconfig` both say where the API server is; give one")
        for names, selector in (("configmaps", "configmap_selector"), ("scale", "scale_selector")):
            if getattr(self, names) and getattr(self, selector):
                raise ValueError(f"give {names} or {selector}: an object must not be seen twice")
        if unknown := [name for name in self.resources if name not in _ALWAYS]:
            raise ValueError(f"{unknown[0]!r} is not watched; there are {', '.join(_ALWAYS)}")
        return self

    @property
    def access(self) -> Access:
        """Where the API server is and as whom it is asked."""
        return Access(self.kubeconfig, self.context, self.url, self.token_file, self.ca)


def watchers(settings: Settings, redact: Redact) -> Iterable[Watcher]:
    """Returns the watcher of a cluster. Raises SettingsError where there is no way to it."""
    return [KubernetesWatcher(settings, redact, ApiServer(settings.access), SystemClock())]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a collection that is listed and watched on its own."""

    kind: Kind
    namespace: str = ""
    selectors: tuple[tuple[str, str], ...] = ()

    @property
    def scope(self) -> str:
        """Its name in observations: `ingresses`, `configmaps/ingress-nginx?metadata.name=main`."""
        place = f"/{self.namespace}" if self.namespace else ""
        chosen = "&".join(value for _, value in self.selectors)
        return f"{self.kind.plural}{place}{'?' + chosen if chosen else ''}"


def parts(settings: Settings) -> Iterator[Part]:
    """Yields what the settings ask to watch."""
    spaces = settings.namespaces or ("",)
    tls = (("fieldSelector", TLS),)
    for name in settings.resources:
        kind = KINDS[name]
        for space in ("",) if name in _CLUSTER_WIDE else spaces:
            yield Part(kind, space, tls if name == "secrets" else ())
    for named in settings.configmaps:
        space, _, name = named.partition("/")
        yield _named("configmaps", space, name)
    for named in settings.scale:
        plural, space, name = named.split("/")
        yield _named(plural, space, name)
    for selector, plurals in (
        (settings.configmap_selector, ("configmaps",)),
        (settings.scale_selector, APPS),
    ):
        for plural in plurals if selector else ():
            for space in spaces:
                yield Part(KINDS[plural], space, (("labelSelector", selector),))


_CLUSTER_WIDE = ("ingressclasses", "gatewayclasses")


def _named(plural: str, namespace: str, name: str) -> Part:
    return Part(KINDS[plural], namespace, (("fieldSelector", f"metadata.name={name}"),))


@dataclass(frozen=True, slots=True)
class _Served:
    """A part as the API server serves it."""

    server: ApiServer
    resource: Resource
    part: Part

    def list(self) -> tuple[Iterator[Object], Callable[[], str]]:
        return self.server.list(self.resource, self.part.namespace, **dict(self.part.selectors))

    def watch(self, version: str) -> Events:
        chosen = dict(self.part.selectors)
        return self.server.watch(self.resource, version, self.part.namespace, **chosen)


class KubernetesWatcher:
    """The watcher of one cluster: a reflector for every part that is served."""

    def __init__(self, settings: Settings, redact: Redact, server: ApiServer, clock: Clock) -> None:
        self._settings, self._redact, self._server, self._clock = settings, redact, server, clock
        self._parts = list(parts(settings))
        self._reflectors: dict[Part, Reflector] = {}
        self._discovered: float | None = None

    @property
    def name(self) -> str:
        return f"kubernetes:{self._settings.name}"

    @property
    def every(self) -> float:
        return self._settings.every

    def observe(self) -> Iterable[Observation]:
        """Yields what the reflectors hold. Raises Unavailable where nothing can be discovered."""
        now = self._clock.monotonic()
        if self._discovered is None or now - self._discovered >= DISCOVER_SECONDS:
            self._discover()
            self._discovered = now
        until = self._clock.monotonic() + FIRST_LIST_SECONDS
        for part, reflector in self._reflectors.items():
            reflector.wait_listed(max(0.0, until - self._clock.monotonic()))
            copy = reflector.take()
            yield Observation(part.scope, copy.objects, error=copy.error, passed=copy.passed)

    def close(self) -> None:
        for reflector in self._reflectors.values():
            reflector.stop()
        for reflector in self._reflectors.values():
            reflector.close()
        self._reflectors.clear()
        self._server.close()

    def _discover(self) -> None:
        """Follows what has come to be served, and lets go of what is served no more."""
        groups = {part.kind.group for part in self._parts}
        served = {
            (group, one.plural): one for group in groups for one in self._server.resources(group)
        }
        for part in self._parts:
            resource = served.get((part.kind.group, part.kind.plural))
            if resource is None:
                if (gone := self._reflectors.pop(part, None)) is not None:
                    gone.close()
            elif part not in self._reflectors:
                follow = _Served(self._server, resource, part)
                reflector = Reflector(follow, self._read(part.kind), self._clock)
                self._reflectors[part] = reflector
                reflector.start()

    def _read(self, kind: Kind) -> Read:
        return partial(snapshot_of, self._settings.name, kind, redact=self._redact)
