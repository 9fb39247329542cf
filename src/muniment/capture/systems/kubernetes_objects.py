"""What is kept of a Kubernetes object: what people and controllers want of it, without the noise.

Left out is what changes by itself or names one life of the object: managedFields, resourceVersion,
uid, generation, creationTimestamp, finalizers, owners, the annotation of the last apply. What the
cluster says of the object stands apart, in the member `status`: addresses, conditions (without
their times and texts), readiness. Of a Secret nothing is kept but what its certificate says.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from muniment.capture.redaction import Redact, names_secret
from muniment.capture.snapshot import Json, Snapshot, State
from muniment.capture.systems.certificates import certificates
from muniment.capture.systems.headers import without_secrets
from muniment.capture.systems.text_secrets import redacted
from muniment.errors import InputError, MunimentError

Object = Mapping[str, Any]

APPS = ("deployments", "statefulsets", "daemonsets")
NOISE = re.compile(
    r"kubectl\.kubernetes\.io/last-applied-configuration|deployment\.kubernetes\.io/revision|"
    r"(?:endpoints|control-plane\.alpha)\.kubernetes\.io/.*"
)
"""Annotations that tools keep for themselves."""
_ENTRY_TIME = re.compile(r"[0-9TZ:.+-]{10,40}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects: its collection, the word for it in object names, and what is kept."""

    group: str
    plural: str
    word: str
    keep: Callable[[Object, Redact], tuple[State, list[str]]]


def snapshot_of(instance: str, kind: Kind, thing: Object, redact: Redact) -> tuple[str, Snapshot]:
    """Returns the name and the snapshot of an object. Raises MunimentError for what is none."""
    about = _dict(thing.get("metadata"))
    name, namespace = about.get("name"), about.get("namespace") or ""
    if not isinstance(name, str) or not name or not isinstance(namespace, str):
        raise MunimentError(f"one of the {kind.plural} has no name")
    place = f"{namespace}/{name}" if namespace else name
    names = [f"{kind.plural}/{place}"]
    if kind.word == SCALE:
        names.append(f"{kind.plural}/scale/{place}")
        place = f"{kind.plural}/{place}"
    state, secret = kind.keep(thing, redact)
    made = Snapshot(
        state,
        redacted=secret,
        names=names,
        by=_by(about, kind.word == SCALE),
        where=_where(thing, kind),
    )
    return f"kubernetes:{instance}/{kind.word}/{place}", made


def _by(about: Object, of_status: bool) -> dict[str, str]:
    """The newest of managedFields: which client, and when. Who it was, the audit log has.

    Times are whole seconds: of clients that wrote within one, none can be told to be the last.
    """
    newest = ""
    tools: list[str] = []
    for entry in _dicts(about.get("managedFields")):
        manager, time = entry.get("manager"), entry.get("time")
        if entry.get("subresource") == "status" and not of_status:
            continue
        if isinstance(manager, str) and isinstance(time, str) and _ENTRY_TIME.fullmatch(time):
            if time > newest:
                newest, tools = time, []
            if time == newest:
                tools.append(manager[:128])
    by = {"tool": " or ".join(sorted(set(tools))[:4]), "time": newest} if newest else {}
    version = about.get("resourceVersion")
    return by | ({"revision": version[:64]} if isinstance(version, str) else {})


def _where(thing: Object, kind: Kind) -> dict[str, str]:
    """The service is what HAProxy and NGINX call a backend; a gateway, a frontend."""
    about = _dict(thing.get("metadata"))
    name = about.get("name")
    if kind.word == "endpointslice":
        name = _dict(about.get("labels")).get("kubernetes.io/service-name")
    side = {"service": "backend", "endpointslice": "backend", "gateway": "frontend"}.get(kind.word)
    return {side: name} if side and isinstance(name, str) else {}


def _head(thing: Object, redact: Redact) -> tuple[State, list[str]]:
    """Version, kind and the metadata that people write; what was redacted of the annotations."""
    about = _dict(thing.get("metadata"))
    given = {k: v for k, v in _dict(about.get("annotations")).items() if not NOISE.fullmatch(k)}
    annotations, secret = _texts(given, redact, "/metadata/annotations")
    metadata: dict[str, Json] = {}
    for key, value in (
        *((name, about.get(name)) for name in ("name", "namespace", "labels")),
        ("annotations", annotations),
    ):
        if value:
            metadata[key] = value
    state: State = {"metadata": metadata}
    for key in ("apiVersion", "kind"):
        if isinstance(thing.get(key), str):
            state[key] = thing[key]
    return state, secret


def _texts(given: Object, redact: Redact, path: str) -> tuple[State, list[str]]:
    """Annotations, or the data of a ConfigMap, without the secrets in them.

    `auth-secret` and its like name a Secret; they hold none.
    """
    made: State = {}
    found: list[str] = []
    for key, value in given.items():
        made[key] = value
        if isinstance(value, str) and value:
            hidden = _names_secret(key) and not key.endswith("-secret")
            made[key] = redact(value) if hidden else redacted(value, redact).text
            if made[key] != value:
                found.append(f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    return made, found


def _object(thing: Object, redact: Redact) -> tuple[State, list[str]]:
    """Ingress, Service, Gateway API: their spec as it is; of the status what traffic feels."""
    state, secret = _head(thing, redact)
    if isinstance(thing.get("spec"), dict):
        state["spec"], found = without_secrets(thing["spec"], redact, "/spec")
        secret = [*secret, *found]
    status = _dict(thing.get("status"))
    kept: dict[str, Json] = {}
    if addresses := _dict(status.get("loadBalancer")).get("ingress") or status.get("addresses"):
        kept["addresses"] = addresses
    if conditions := _conditions(status):
        kept["conditions"] = conditions
    parents = [
        {
            "parentRef": one.get("parentRef"),
            "controllerName": one.get("controllerName"),
            "conditions": _conditions(one),
        }
        for one in _dicts(status.get("parents"))
    ]
    if parents:
        kept["parents"] = sorted(parents, key=repr)
    if kept:
        state["status"] = kept
    return state, secret


def _conditions(status: Object) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in _dicts(status.get("conditions")):
        if isinstance(one.get("type"), str):
            found[one["type"]] = one.get("status")
    return found


def _endpoint_slice(thing: Object, redact: Redact) -> tuple[State, list[str]]:
    """Who serves a Service: the addresses, and apart from them which of them are ready."""
    state, secret = _head(thing, redact)
    sides: dict[str, list[Json]] = {"ready": [], "not_ready": [], "terminating": []}
    endpoints: list[Json] = []
    for one in _dicts(thing.get("endpoints")):
        conditions, target = _dict(one.get("conditions")), _dict(one.get("targetRef"))
        addresses: list[Json] = [a for a in _items(one.get("addresses")) if isinstance(a, str)]
        facts: State = {
            "addresses": addresses,
            "node": one.get("nodeName"),
            "zone": one.get("zone"),
            "target": "/".join(str(target[k]) for k in ("kind", "name") if k in target),
        }
        endpoints.append({key: value for key, value in facts.items() if value})
        # What is not said counts as ready (EndpointConditions, discovery.k8s.io/v1).
        side = "not_ready" if conditions.get("ready") is False else "ready"
        sides["terminating" if conditions.get("terminating") is True else side] += addresses
    state["addressType"] = thing.get("addressType")
    state["ports"] = sorted(_dicts(thing.get("ports")), key=repr)
    state["endpoints"] = sorted(endpoints, key=repr)
    status: State = {side: sorted(found, key=repr) for side, found in sides.items() if found}
    return state | {"status": status}, secret


def _tls_secret(thing: Object, redact: Redact) -> tuple[State, list[str]]:
    """What the certificates say; neither the key nor other members of the Secret."""
    state, secret = _head(thing, redact)
    state["type"] = thing.get("type")
    coded = _dict(thing.get("data")).get("tls.crt")
    try:
        pem = b64decode(coded, validate=True) if isinstance(coded, str) else b""
        state["certificates"] = [*certificates(pem)]
        if not state["certificates"]:
            state["fault"] = "tls.crt holds no certificate"
    except (MunimentError, binascii.Error, ValueError) as error:
        state["certificates"] = []
        state["fault"] = f"tls.crt cannot be read: {str(error)[:200]}"
    return state, secret


def _config_map(thing: Object, redact: Redact) -> tuple[State, list[str]]:
    state, secret = _head(thing, redact)
    data, found = _texts(_dict(thing.get("data")), redact, "/data")
    state["data"] = data
    if binary := _dict(thing.get("binaryData")):
        hidden = {key for key, value in binary.items() if _names_secret(key) or _is_secret(value)}
        state["binaryData"] = {k: redact(str(v)) if k in hidden else v for k, v in binary.items()}
        found += [f"/binaryData/{key}" for key in sorted(hidden)]
    return state, secret + found


def _names_secret(key: str) -> bool:
    """Whether a key of data says that it is secret, also where it is the name of a file."""
    return names_secret(key) or key.endswith(".key") or names_secret(key.rpartition(".")[0])


def _is_secret(coded: Any) -> bool:
    """Whether there are secrets in the text behind Base64."""
    try:
        text = b64decode(coded, validate=True).decode() if isinstance(coded, str) else ""
    except (ValueError, binascii.Error):
        return False
    return redacted(text, lambda _: "").text != text


def _scale(thing: Object, redact: Redact) -> tuple[State, list[str]]:  # noqa: ARG001
    """How many replicas are wanted; how many there are and serve stands apart."""
    about, spec, status = (_dict(thing.get(key)) for key in ("metadata", "spec", "status"))
    state: State = {
        "metadata": {k: about[k] for k in ("name", "namespace") if isinstance(about.get(k), str)}
    }
    if isinstance(spec.get("replicas"), int):
        state["replicas"] = spec["replicas"]
    counts = (
        ("scheduled", status.get("desiredNumberScheduled")),
        ("replicas", status.get("replicas", status.get("currentNumberScheduled"))),
        ("ready", status.get("readyReplicas", status.get("numberReady"))),
    )
    state["status"] = {key: value for key, value in counts if isinstance(value, int)}
    return state, []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in _items(value) if isinstance(one, dict)]


SCALE = "scale"
_NETWORKING, _GATEWAY = "networking.k8s.io", "gateway.networking.k8s.io"
KINDS = {
    kind.plural: kind
    for kind in (
        Kind(_NETWORKING, "ingresses", "ingress", _object),
        Kind(_NETWORKING, "ingressclasses", "ingressclass", _object),
        Kind(_GATEWAY, "gatewayclasses", "gatewayclass", _object),
        Kind(_GATEWAY, "gateways", "gateway", _object),
        Kind(_GATEWAY, "httproutes", "httproute", _object),
        Kind(_GATEWAY, "grpcroutes", "grpcroute", _object),
        Kind(_GATEWAY, "tlsroutes", "tlsroute", _object),
        Kind(_GATEWAY, "tcproutes", "tcproute", _object),
        Kind(_GATEWAY, "udproutes", "udproute", _object),
        Kind(_GATEWAY, "referencegrants", "referencegrant", _object),
        Kind("", "services", "service", _object),
        Kind("discovery.k8s.io", "endpointslices", "endpointslice", _endpoint_slice),
        Kind("", "secrets", "tls-secret", _tls_secret),
        Kind("", "configmaps", "configmap", _config_map),
        *(Kind("apps", plural, SCALE, _scale) for plural in APPS),
    )
}
"""By the plural that the API server and its audit events know them by."""


def kind_of(word: str, name: str) -> Kind:
    """Returns the kind of an object by the words of its name. Raises InputError."""
    for plural, kind in KINDS.items():
        if kind.word == word and (word != SCALE or name.startswith(f"{plural}/")):
            return kind
    raise InputError(f"there is no kind {word!r} of objects of Kubernetes that has {name[:80]!r}")
