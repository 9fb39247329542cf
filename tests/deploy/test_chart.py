"""The Helm chart: Helm takes it, nodes and edge take the settings that it writes, and every pod
keeps the bounds of the restricted profile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from muniment.edge.description import load as load_description
from muniment.settings import Role, load
from tests.deploy.chart import CHART, KUBERNETES, VALUES, helm, of_kind, pods, rendered

EACH = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
MINIMAL, EVERYTHING = CHART / "ci" / "minimal.yaml", CHART / "ci" / "everything.yaml"
ARCHIVING_SECONDS = 30
"""What a pod has, beyond its drain, to seal and archive."""


@EACH
def test_helm_lint_has_nothing_to_say(values: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "-f", str(values), *KUBERNETES)
    assert done.returncode == 0, done.stdout + done.stderr


@EACH
def test_nodes_and_edge_load_the_settings(
    values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(values)
    (settings,) = of_kind(found, "ConfigMap")
    given = yaml.safe_load(values.read_text())
    workloads = {name.removeprefix("mun-muniment-"): pod for name, pod in pods(found)}
    assert set(settings["data"]) == {f"{name}.toml" for name in workloads}
    for name, text in settings["data"].items():
        path = tmp_path / name
        path.write_text(text)
        if name == "edge.toml":
            edge = load_description(path)
            assert [log.name for log in edge.log] == given.get("logs", ["default"])
            assert edge.tls.nodes_ca is not None and edge.tls.node_certificate is not None
            continue
        (container,) = workloads[path.stem]["spec"]["containers"]
        fleet = next(one["value"] for one in container["env"] if one["name"] == "MUNIMENT_FLEET")
        monkeypatch.setenv("MUNIMENT_FLEET", re.sub(r"\$\(\w+\)", "one-0", fleet))
        node = load(config=path)
        assert node.origin == "log.example.com"
        assert node.fleet is not None and node.fleet.url.startswith("https://one-0")
        assert len(node.store) == len(given.get("stores", []))
        assert node.residency == given.get("residency", {})
        if path.stem == "ingest":
            assert node.roles == (Role.INGEST,)
            assert len(node.receive) == len(given.get("ingest", {}).get("listeners", []))
            assert (node.wal is not None) == ("wal" in given)


@EACH
def test_what_is_mounted_is_there_and_what_is_named_is_mounted(values: Path) -> None:
    found = rendered(values)
    settings = "\n".join(of_kind(found, "ConfigMap")[0]["data"].values())
    named = {str(Path(path).parent) for path in re.findall(r'"(/etc/muniment/[^"]+)"', settings)}
    mounted = set()
    for _, pod in pods(found):
        (container,) = pod["spec"]["containers"]
        volumes = {one["name"] for one in pod["spec"]["volumes"]} | {"data"}
        assert {one["name"] for one in container["volumeMounts"]} <= volumes
        mounted |= {one["mountPath"] for one in container["volumeMounts"]}
    assert named <= mounted


@EACH
def test_every_pod_keeps_the_restricted_profile_and_more(values: Path) -> None:
    for name, pod in pods(rendered(values)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            bounds = container["securityContext"]
            assert bounds["readOnlyRootFilesystem"] is True
            assert bounds["allowPrivilegeEscalation"] is False
            assert bounds["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


@EACH
def test_a_pod_has_the_time_to_drain(values: Path) -> None:
    found = rendered(values)
    settings = of_kind(found, "ConfigMap")[0]["data"]
    for name, pod in pods(found):
        text = settings[f"{name.removeprefix('mun-muniment-')}.toml"]
        drain = float((re.findall(r"^drain = ([0-9.]+)$", text, re.MULTILINE) or ["0"])[0])
        assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + ARCHIVING_SECONDS, name


@EACH
def test_every_pod_is_denied_by_default_and_has_a_policy_of_its_own(values: Path) -> None:
    found = rendered(values)
    policies = [one["spec"] for one in of_kind(found, "NetworkPolicy")]
    deny = policies[0]
    assert deny["policyTypes"] == ["Ingress", "Egress"] and deny["ingress"] == []
    for _, pod in pods(found):
        labels = pod["metadata"]["labels"].items()
        chosen = [one for one in policies if one["podSelector"]["matchLabels"].items() <= labels]
        assert deny in chosen and len(chosen) == 2
    for policy in policies:
        for rule in policy["egress"]:
            assert rule["to"] and rule["ports"]  # never to everywhere


@EACH
def test_services_budgets_and_scalers_choose_what_there_is(values: Path) -> None:
    found = rendered(values)
    labels = [pod["metadata"]["labels"].items() for _, pod in pods(found)]
    for service in of_kind(found, "Service"):
        chosen = service["spec"]["selector"].items()
        assert sum(chosen <= one for one in labels) == 1, service["metadata"]["name"]
    for budget in of_kind(found, "PodDisruptionBudget"):
        chosen = budget["spec"]["selector"]["matchLabels"].items()
        assert sum(chosen <= one for one in labels) == 1
    names = {name for name, _ in pods(found)}
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in names
        target = next(
            one
            for one in of_kind(found, "StatefulSet", "Deployment")
            if one["metadata"]["name"] == scaler["spec"]["scaleTargetRef"]["name"]
        )
        assert "replicas" not in target["spec"]


def test_metrics_that_alerts_and_scalers_name_exist() -> None:
    found = rendered(EVERYTHING)
    told = set(re.findall(r"^\| `(\w+)` \|", _reference("metrics.md"), re.MULTILINE))
    text = json.dumps(of_kind(found, "PrometheusRule", "HorizontalPodAutoscaler"))
    named = set(re.findall(r"\bmuniment_\w+", text))
    assert len(named) > 8
    assert named <= told


def test_prometheus_takes_the_alerts(tmp_path: Path) -> None:
    program = shutil.which("promtool") or pytest.skip("Prometheus is not installed here")
    (rules,) = of_kind(rendered(EVERYTHING), "PrometheusRule")
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules["spec"]))
    done = subprocess.run([program, "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_certificates_are_for_the_names_that_nodes_are_called_by() -> None:
    found = rendered(MINIMAL)
    node = next(
        one["spec"]
        for one in of_kind(found, "Certificate")
        if one["metadata"]["name"] == "mun-muniment-node"
    )
    services = {one["metadata"]["name"] for one in of_kind(found, "Service")}
    assert {f"{name}.evidence.svc" for name in services} <= set(node["dnsNames"])
    assert "*.mun-muniment-nodes.evidence.svc" in node["dnsNames"]
    assert {"server auth", "client auth"} <= set(node["usages"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ingest.terminationGracePeriodSeconds=20", "30 seconds above drain"),
        ("wal.url=s3://a/b", "wal needs stores"),
        ("fleet.takeover=30s", "takeoverSecret"),
        ("residency.default=eu", "one release stands in one jurisdiction"),
        ("edge.enabled=true,tls.clientCertificates=false", "known by its certificate"),
        ("httpRoute.enabled=true,httpRoute.caConfigMap=a", "ask for certificates"),
        ("tls.source=secrets", "tls.nodeSecret"),
        ("watch.replicas=2", "watch"),
        ("query.replicas=none", "replicas"),
        ("podSecurityContext.runAsNonRoot=false", "runAsNonRoot"),
        ("ingest.nonsense=1", "nonsense"),
        ("settings.receive[0].shared_key=geheim", "settings are a ConfigMap"),
        ("ingest.settings.wal.secret_key=geheim", "settings are a ConfigMap"),
    ],
)
def test_values_that_do_not_agree_are_refused(given: str, told: str) -> None:
    done = helm("template", "mun", str(CHART), "-f", str(MINIMAL), "--set", given, *KUBERNETES)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_readme_has_every_value() -> None:
    text = (CHART / "README.md").read_text()
    told = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    assert told == set(yaml.safe_load((CHART / "values.yaml").read_text()))


def _reference(name: str) -> str:
    return (CHART.parents[2] / "docs" / "reference" / name).read_text()
