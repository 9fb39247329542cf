"""Puts objects of a cluster back, through its API server: server-side apply, dry run first.

One request does the whole: it names the resourceVersion that the plan started from, so that it is
refused where somebody was faster, and it is tried with `dryRun=All` while the plan is made.
Server-side apply sets members, whoever manages them; it cannot take out what another manager put
in. Where that is needed the object is replaced as a whole, and the step says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from muniment.balancer.kubernetes import ApiServer, Resource
from muniment.balancer.kubernetes_answers import Object, Refused
from muniment.capture.change import differences
from muniment.capture.redaction import Redact
from muniment.capture.snapshot import Json, ObjectName, Snapshot, State
from muniment.capture.systems.kubernetes import Settings
from muniment.capture.systems.kubernetes_objects import NOISE, SCALE, Kind, kind_of, snapshot_of
from muniment.rollback.port import Applier, ApplyFailed, CannotRollBack, Step

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_MARKER = re.compile(r"\[redacted [0-9a-f]{16}\]")
_FIELD = re.compile(r'conflicts? with "([^"]{1,128})"')
_NOT_SET = {
    "tls-secret": "the key of a TLS Secret is never captured: put it back from where it is kept",
    "endpointslice": "an EndpointSlice follows its Service and Pods: put those back",
}


def applier(settings: Settings, redact: Redact) -> Applier:
    """Returns the applier of a cluster. Raises SettingsError where there is no way to it."""
    return KubernetesApplier(settings.name, ApiServer(settings.access), redact)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: Object | None
    media: str = "application/json"
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object is: what it is called in words, and by the API server."""

    kind: Kind
    resource: Resource
    namespace: str
    name: str

    def __str__(self) -> str:
        full = f"{self.resource.plural}.{self.resource.group}".rstrip(".")
        return f"{full} {self.namespace}/{self.name}".replace(" /", " ")

    def path(self, part: str = "") -> str:
        return self.resource.path(self.namespace, self.name, part)

    def is_of(self, manifest: State) -> bool:
        """Whether a manifest is of this object, as far as it says so itself."""
        said = manifest.get("metadata")
        named = said if isinstance(said, dict) else {}
        name, namespace = named.get("name", self.name), named.get("namespace", self.namespace)
        return (name, namespace) == (self.name, self.namespace)


class KubernetesApplier:
    """The applier of one cluster. One thread uses it."""

    def __init__(self, instance: str, server: ApiServer, redact: Redact) -> None:
        self._instance, self._server, self._redact = instance, server, redact

    def close(self) -> None:
        self._server.close()

    def live(self, name: ObjectName) -> Snapshot | None:
        place = self._place(name)
        thing = self._server.get(place.resource, place.namespace, place.name)
        return None if thing is None else self._snapshot(place, thing, self._redact)

    def plan(self, name: ObjectName, live: Snapshot | None, wanted: State | None) -> Sequence[Step]:
        if live is None and wanted is None:
            return []
        if live is not None and wanted is not None and _same(live.state, wanted):
            return []
        place = self._place(name)
        if place.kind.word == SCALE:
            return [self._scaling(place, live, wanted)]
        thing = self._server.get(place.resource, place.namespace, place.name)
        if (thing is None) != (live is None):
            raise CannotRollBack(f"{place} came or went while the plan was made: plan again")
        if wanted is None:
            return [self._deleting(place, _metadata(thing))]
        if not place.is_of(wanted):
            raise CannotRollBack(f"the version is of another object than {place}")
        return [self._setting(place, thing, self._with_secrets(place, thing, wanted))]

    def apply(self, steps: Sequence[Step]) -> list[str]:
        answers: list[str] = []
        for step in steps:
            assert isinstance(step.data, _Request)
            try:
                done = self._send(step.data, dry_run=False)
            except Refused as error:
                done_before = f"; done before: {', '.join(answers)}" if answers else ""
                raise ApplyFailed(f"{step.does}: {error.detail}{done_before}") from error
            version = _metadata(done).get("resourceVersion", "")
            answers.append(f"resourceVersion {version}" if version else "done")
        return answers

    def _send(self, request: _Request, *, dry_run: bool) -> Object:
        return self._server.write(
            request.method,
            request.path,
            request.body,
            media=request.media,
            dry_run=dry_run,
            **dict(request.query),
        )

    def _try(self, place: _Place, request: _Request) -> Object:
        """A dry run: the API server's own word on whether it would do that."""
        try:
            return self._send(request, dry_run=True)
        except Refused as error:
            raise CannotRollBack(f"{place}: {error.detail}") from error

    def _place(self, name: ObjectName) -> _Place:
        if name.kind in _NOT_SET:
            raise CannotRollBack(f"{name}: {_NOT_SET[name.kind]}")
        kind = kind_of(name.kind, name.name)
        *spaces, own = name.name.removeprefix(f"{kind.plural}/").split("/")
        for resource in self._server.resources(kind.group):
            if resource.plural == kind.plural:
                if len(spaces) != resource.namespaced:
                    raise CannotRollBack(f"{name} names none of the {kind.plural}")
                return _Place(kind, resource, "".join(spaces), own)
        raise CannotRollBack(f"the API server serves no {kind.plural} of {kind.group or 'core'}")

    def _snapshot(self, place: _Place, thing: Object, redact: Redact) -> Snapshot:
        return snapshot_of(self._instance, place.kind, thing, redact)[1]

    def _with_secrets(self, place: _Place, thing: Object | None, wanted: State) -> State:
        """Puts secrets that are still in the object where their markers stand."""
        secrets: dict[str, str] = {}

        def remember(secret: str) -> str:
            marker = self._redact(secret)
            secrets[marker] = secret
            return marker

        if thing is not None:
            self._snapshot(place, thing, remember)

        def put(found: re.Match[str]) -> str:
            if found[0] not in secrets:
                raise CannotRollBack(
                    f"{place}: that version had a secret which is not in the object any more"
                )
            return secrets[found[0]]

        filled = _texts(wanted, lambda text: _MARKER.sub(put, text))
        assert isinstance(filled, dict)
        return filled

    def _scaling(self, place: _Place, live: Snapshot | None, wanted: State | None) -> Step:
        replicas = (wanted or {}).get("replicas")
        if live is None or not isinstance(replicas, int) or isinstance(replicas, bool):
            raise CannotRollBack(f"{place}: only the number of replicas can be put back")
        thing = self._server.get(place.resource, place.namespace, place.name, "scale")
        if thing is None:
            raise CannotRollBack(f"{place} cannot be scaled")
        body = {
            "metadata": {"resourceVersion": _metadata(thing).get("resourceVersion")},
            "spec": {"replicas": replicas},
        }
        request = _Request("PATCH", place.path("scale"), body, MERGE)
        self._try(place, request)
        return Step(
            f"scale {place} to {replicas}",
            undo=f"scale {place} to {live.state.get('replicas')}",
            data=request,
        )

    def _deleting(self, place: _Place, about: Mapping[str, Any]) -> Step:
        keys = ("uid", "resourceVersion")
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {key: about[key] for key in keys if key in about},
        }
        request = _Request("DELETE", place.path(), body)
        self._try(place, request)
        return Step(f"delete {place}", undo=f"create {place} as it was", data=request)

    def _setting(self, place: _Place, thing: Object | None, wanted: State) -> Step:
        manifest = {key: value for key, value in wanted.items() if key != "status"}
        if thing is None:
            request = _Request("POST", place.resource.path(place.namespace), manifest)
            self._try(place, request)
            return Step(f"create {place}", undo=f"delete {place}", data=request)
        undo = f"put {place} back as it is now"
        applied = self._applying(place, thing, manifest)
        if applied is not None:
            request, others = applied
            over = f", taking over what {' and '.join(others)} manages" if others else ""
            return Step(f"server-side apply of {place}{over}", undo=undo, data=request)
        request = _Request("PUT", place.path(), _replaced(thing, manifest))
        self._try(place, request)
        return Step(
            f"replace {place}: it has members that server-side apply cannot take out",
            undo=undo,
            data=request,
        )

    def _applying(
        self, place: _Place, thing: Object, manifest: State
    ) -> tuple[_Request, list[str]] | None:
        """The server-side apply that leads to the manifest and whose members it takes over.

        None where it would leave something in that the manifest does not have.
        """
        body = deepcopy(manifest)
        metadata = body.get("metadata")
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = _metadata(thing).get("resourceVersion")
        request = _Request("PATCH", place.path(), body, APPLY, (("force", "true"),))
        try:
            after = self._send(request, dry_run=True)
        except Refused:
            return (
                None  # such as a port of the same name beside the old one: the whole may be taken
            )
        reached = self._snapshot(place, after, lambda secret: secret)
        if not _same(reached.state, manifest):
            return None
        gentle = _Request("PATCH", place.path(), body, APPLY)
        try:
            self._send(gentle, dry_run=True)
        except Refused as error:
            return request, sorted(set(_FIELD.findall(error.detail)))
        return gentle, []


def _replaced(thing: Object, manifest: State) -> Object:
    """The object with what the manifest says of it, and nothing else of what can be captured."""
    metadata = _metadata(thing)
    wanted = _metadata(manifest)
    made = {k: v for k, v in thing.items() if k not in ("spec", "data", "binaryData")} | manifest
    made["metadata"] = {k: v for k, v in metadata.items() if k != "labels"}
    made["metadata"] |= {k: wanted[k] for k in ("labels",) if k in wanted}
    unseen = {k: v for k, v in metadata.get("annotations", {}).items() if NOISE.fullmatch(k)}
    made["metadata"]["annotations"] = unseen | wanted.get("annotations", {})
    return made


def _metadata(thing: Mapping[str, Any] | None) -> dict[str, Any]:
    about = (thing or {}).get("metadata")
    return about if isinstance(about, dict) else {}


def _same(one: State, other: State) -> bool:
    """Whether nothing differs that can be set: what the cluster says of an object cannot."""
    return not any(
        str(field["path"]).split("/")[1:2] != ["status"] for field in differences(one, other)
    )


def _texts(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_texts(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _texts(one, change) for key, one in value.items()}
    return value
