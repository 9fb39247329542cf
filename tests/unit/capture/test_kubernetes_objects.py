"""What is kept of Kubernetes objects, and what is not."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.kubernetes_objects import KINDS, snapshot_of
from muniment.errors import MunimentError

REDACT = redactor(b"k" * 32)


def kept(plural: str, **thing: Any) -> tuple[str, Snapshot]:
    thing["metadata"] = {"name": "one", "namespace": "shop", **thing.get("metadata", {})}
    name, snapshot = snapshot_of("edge", KINDS[plural], thing, REDACT)
    assert str(ObjectName.parse(name)) == name
    return name, snapshot


def certificate() -> tuple[bytes, bytes]:
    """A PEM certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def test_a_tls_secret_is_its_certificate() -> None:
    pem, key = certificate()
    data = {"tls.crt": b64encode(pem).decode(), "tls.key": b64encode(key).decode(), "other": "eA=="}
    name, secret = kept("secrets", type="kubernetes.io/tls", data=data)
    assert name == "kubernetes:edge/tls-secret/shop/one"
    assert secret.names == ["secrets/shop/one"]
    assert set(secret.state) == {"metadata", "type", "certificates"}
    (told,) = secret.state["certificates"]  # type: ignore[misc]
    assert (told["subject"], told["serial"]) == ("CN=shop.example", "4d")  # type: ignore[index]
    assert not any(value in json.dumps(secret.state) for value in data.values())


@pytest.mark.parametrize("coded", ["", "!", None, 7, b64encode(b"no certificate").decode()])
def test_a_tls_secret_without_a_certificate_says_so(coded: Any) -> None:
    _, secret = kept("secrets", data={"tls.crt": coded, "tls.key": "a2V5LW9mLXNob3A="})
    assert secret.state["certificates"] == []
    assert "tls.crt" in str(secret.state["fault"])
    assert "a2V5" not in json.dumps(secret.state)


def test_endpoints_are_sets_and_their_readiness_stands_apart() -> None:
    def endpoint(address: str, ready: bool | None, **more: bool) -> dict[str, Any]:
        conditions = {"ready": ready, **more}
        target = {"kind": "Pod", "name": f"pod-{address}", "resourceVersion": "9"}
        return {"addresses": [address], "conditions": conditions, "targetRef": target}

    one, two = endpoint("10.0.0.1", True), endpoint("10.0.0.2", False)
    three, four = endpoint("10.0.0.3", None), endpoint("10.0.0.4", False, terminating=True)
    labels = {"kubernetes.io/service-name": "web"}
    about = {"metadata": {"labels": labels}, "addressType": "IPv4", "ports": [{"port": 80}]}
    _, first = kept("endpointslices", endpoints=[one, two, three, four], **about)
    _, again = kept("endpointslices", endpoints=[four, two, three, one], **about)
    assert first.version == again.version
    assert first.where == {"backend": "web"}
    assert first.state["status"] == {
        "ready": ["10.0.0.1", "10.0.0.3"],
        "not_ready": ["10.0.0.2"],
        "terminating": ["10.0.0.4"],
    }
    assert first.state["endpoints"][0] == {  # type: ignore[index,call-overload]
        "addresses": ["10.0.0.1"],
        "target": "Pod/pod-10.0.0.1",
    }


def test_conditions_are_kept_without_their_times_and_texts() -> None:
    condition = {"type": "Accepted", "status": "True", "lastTransitionTime": "a", "message": "b"}
    parents = [{"parentRef": {"name": "edge"}, "controllerName": "c", "conditions": [condition]}]
    status = {"conditions": [condition], "parents": parents, "listeners": [{"attachedRoutes": 7}]}
    _, route = kept("httproutes", spec={"rules": []}, status=status)
    assert route.state["status"] == {
        "conditions": {"Accepted": "True"},
        "parents": [
            {
                "parentRef": {"name": "edge"},
                "controllerName": "c",
                "conditions": {"Accepted": "True"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("plural", "status", "told"),
    [
        ("deployments", {"replicas": 3, "readyReplicas": 2}, {"replicas": 3, "ready": 2}),
        (
            "daemonsets",
            {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3},
            {"scheduled": 5, "replicas": 4, "ready": 3},
        ),
    ],
)
def test_scale(plural: str, status: dict[str, int], told: dict[str, int]) -> None:
    name, scale = kept(plural, spec={"replicas": 4, "template": {}}, status=status)
    assert name == f"kubernetes:edge/scale/{plural}/shop/one"
    assert scale.names == [f"{plural}/shop/one", f"{plural}/scale/shop/one"]
    assert scale.state["status"] == told
    assert scale.state["replicas"] == 4
    assert "spec" not in scale.state


def test_secrets_in_annotations_and_config_maps_are_redacted_and_names_of_secrets_are_not() -> None:
    snippet = 'proxy_set_header Authorization "Basic aHVudGVyMg==";\nproxy_buffering off;'
    prefix = "nginx.ingress.kubernetes.io"
    annotations = {
        f"{prefix}/auth-secret": "shop/basic",
        f"{prefix}/configuration-snippet": snippet,
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    _, ingress = kept("ingresses", metadata={"annotations": annotations})
    notes = ingress.state["metadata"]["annotations"]  # type: ignore[index,call-overload]
    assert set(notes) == {f"{prefix}/auth-secret", f"{prefix}/configuration-snippet"}
    assert notes[f"{prefix}/auth-secret"] == "shop/basic"
    assert "aHVudGVyMg" not in json.dumps(ingress.state)
    assert "proxy_buffering off" in notes[f"{prefix}/configuration-snippet"]
    pointer = "/metadata/annotations/nginx.ingress.kubernetes.io~1configuration-snippet"
    assert ingress.redacted == [pointer]

    _, config = kept(
        "configmaps", data={"api-key": "hunter2", "size": "8m"}, binaryData={"a": "eA=="}
    )
    assert config.state["data"] == {"api-key": REDACT("hunter2"), "size": "8m"}
    assert config.state["binaryData"] == {"a": "eA=="}


def test_who_wrote_last() -> None:
    def entry(manager: str, time: str, **more: str) -> dict[str, str]:
        return {"manager": manager, "time": time, "operation": "Update", **more}

    early, late = "2026-11-21T10:00:00Z", "2026-11-21T10:00:05Z"
    fields = [
        entry("kubectl-edit", late),
        entry("helm", early),
        entry("controller", "2026-11-21T11:00:00Z", subresource="status"),
        {"manager": 7, "time": None},
    ]
    about = {"managedFields": fields, "resourceVersion": "42"}
    _, one = kept("ingresses", metadata=about)
    assert one.by == {"tool": "kubectl-edit", "time": late, "revision": "42"}
    _, two = kept("ingresses", metadata={"managedFields": [*fields, entry("argocd", late)]})
    assert two.by["tool"] == "argocd or kubectl-edit"


@pytest.mark.parametrize("meta", [{"name": ""}, {"name": None}, {"name": 7}, {"namespace": 7}])
def test_an_object_without_a_name_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(MunimentError):
        kept("ingresses", metadata=meta)
