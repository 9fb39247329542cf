"""A real API server takes what the chart renders: every object by its own schema, with nothing that
it does not know, and every pod under the admission of the `restricted` profile.

Kinds that are no part of Kubernetes are checked against the definitions that their projects ship.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.edge.kubernetes import render
from tests.deploy.chart import NAMESPACE, ROOT, VALUES, Manifest, of_kind, pods, rendered
from tests.deploy.descriptions import HEAD, described, divided, node
from tests.e2e.harness.certificate import write_certificate
from tests.e2e.harness.kube_apiserver import TOKEN, ApiServer, kube_apiserver
from tests.e2e.harness.kubectl import Person
from tests.e2e.harness.waiting import wait_for

DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.4.0": (
        "config/crd/standard/gateway.networking.k8s.io_backendtlspolicies.yaml",
        "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
    "github.com/envoyproxy/gateway@v1.6.0": (
        "charts/gateway-helm/crds/generated/gateway.envoyproxy.io_envoyproxies.yaml",
    ),
    "github.com/cert-manager/cert-manager@v1.16.2": (
        "deploy/crds/crd-certificates.yaml",
        "deploy/crds/crd-issuers.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.79.2": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}
"""Modules, and the files in them that define their kinds."""

LEVEL = "pod-security.kubernetes.io/enforce"
EACH = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("cluster")
    nobody = "https://127.0.0.1:1/"
    with kube_apiserver(directory, nobody, "none", write_certificate(directory)) as api:
        person = Person(api, TOKEN, directory)
        space = {"name": NAMESPACE, "labels": {LEVEL: "restricted"}}
        person.create({"apiVersion": "v1", "kind": "Namespace", "metadata": space})
        _define(api, person)
        yield person


def _define(api: ApiServer, person: Person) -> None:
    """Makes the kinds of other projects known."""
    for text in definitions():
        person.run("create", "-f", "-", given=text)
    place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def established() -> bool:
        return all(
            ("Established", "True") in {(one["type"], one["status"]) for one in conditions}
            for kind in api.http.get(place).json()["items"]
            for conditions in [kind.get("status", {}).get("conditions") or []]
        )

    wait_for(established, "the definitions of other projects' kinds")


def definitions() -> Iterator[str]:
    """The definitions as their modules hold them, without what a chart would fill in."""
    go = shutil.which("go") or pytest.skip("go is not installed: no definitions of other kinds")
    for module, files in DEFINITIONS.items():
        done = subprocess.run(
            [go, "mod", "download", "-json", module],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"{module} cannot be had")
        for name in files:
            lines = (Path(json.loads(done.stdout)["Dir"]) / name).read_text().splitlines()
            yield "\n".join(line for line in lines if "{{" not in line)


def take(person: Person, manifests: list[Manifest]) -> None:
    """Lets the API server try these objects; it refuses what it does not know."""
    text = yaml.safe_dump_all(manifests)
    words = ["--server-side", "--dry-run=server", "--validate=strict", "-n", NAMESPACE]
    person.run("apply", *words, "-f", "-", given=text)


@EACH
def test_the_api_server_takes_every_object(values: Path, cluster: Person) -> None:
    take(cluster, list(rendered(values)))


@EACH
def test_admission_takes_every_pod_under_the_restricted_profile(
    values: Path, cluster: Person
) -> None:
    found = rendered(values)
    accounts = of_kind(found, "ServiceAccount")
    cluster.run("apply", "-n", NAMESPACE, "-f", "-", given=yaml.safe_dump_all(accounts))
    for name, pod in pods(found):
        made: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **pod}
        made["metadata"] = {**pod["metadata"], "name": name}
        if "StatefulSet" in [one["kind"] for one in found if one["metadata"]["name"] == name]:
            claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            made["spec"] = {**pod["spec"], "volumes": [*pod["spec"]["volumes"], claim]}
        take(cluster, [made])


def test_admission_would_refuse_a_pod_with_root(cluster: Person) -> None:
    found = rendered(VALUES[0])
    name, pod = next((name, pod) for name, pod in pods(found) if "ingest" in name)
    worse = json.loads(json.dumps(pod["spec"]))
    worse["securityContext"] = worse["containers"][0]["securityContext"] = {}
    worse["volumes"] = []
    worse["containers"][0]["volumeMounts"] = []
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": worse}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        take(cluster, [made])


@pytest.mark.parametrize("kind", ["divided", "inside"])
def test_the_api_server_takes_what_the_edge_renders(
    kind: str, cluster: Person, tmp_path: Path
) -> None:
    inside = node("a", "a-0.nodes.evidence.svc:8470", tls_name="")
    fleet = (
        divided(tmp_path, tls='client_ca = "c.pem"\n', more='[allow]\nwrite = ["10.0.0.0/8"]\n')
        if kind == "divided"
        else described(tmp_path, HEAD.format(place="") + inside)
    )
    words = ["--server-side", "--dry-run=server", "--validate=strict"]
    for text in render(fleet).values():
        given = text.replace("namespace: muniment", f"namespace: {NAMESPACE}")
        cluster.run("apply", *words, "-f", "-", given=given)


def test_the_api_server_takes_what_the_pages_show(cluster: Person) -> None:
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    shown = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    found = [one for one in shown if "apiVersion" in one]
    assert {one["kind"] for one in found} == {"EnvoyProxy"}
    for one in found:
        one["metadata"]["namespace"] = NAMESPACE
        take(cluster, [one])


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml")))
def test_the_api_server_takes_the_manifests_beside_the_chart(path: Path, cluster: Person) -> None:
    found = [one for one in yaml.safe_load_all(path.read_text()) if one]
    known = [one for one in found if not one["apiVersion"].startswith("audit.k8s.io")]
    for space in of_kind(tuple(known), "Namespace"):
        cluster.create(space)
    words = ["--server-side", "--dry-run=server", "--validate=strict"]
    for one in known:
        cluster.run("apply", *words, "-f", "-", given=yaml.safe_dump(one))
