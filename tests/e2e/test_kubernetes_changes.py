"""A real Kubernetes API server, an agent that watches it, its audit webhook, and the way back."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from muniment.trust.directory import verify_directory

from .harness.agent import Agent
from .harness.certificate import write_certificate
from .harness.cli import muniment
from .harness.kube_apiserver import ApiServer, kube_apiserver
from .harness.kubectl import Person, kubectl
from .harness.process import free_port
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

MANIFESTS = Path(__file__).parents[2] / "deploy/kubernetes"
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.1.0"
LISTENER = """
[[receive]]
protocol = "kubernetes"
listen = "127.0.0.1:{port}"
tls_certificate = "{pem}"
tls_key = "{pem}"
"""
SECTION = """
[[kubernetes]]
name = "edge"
url = "{url}"
ca = "{ca}"
token_file = "{token}"
every = 1
configmaps = ["ingress/controller"]
scale_selector = "app=controller"
"""
SPACE = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
WEB = "kubernetes:edge/ingress/shop/web"


@dataclass
class Edge:
    """The whole: server, API server, agent, and the people who work at the cluster."""

    directory: Path
    server: MunimentServer
    api: ApiServer
    agent: Agent
    alice: Person
    bob: Person

    def versions(self, name: str, count: int, question: str = "history") -> list[dict[str, Any]]:
        """Waits until an object has so many versions, and returns them, oldest first."""
        place = f"/api/v1/logs/default/{question}"

        def found() -> list[dict[str, Any]]:
            answer = self.server.http.get(place, params={"object": name})
            versions = answer.json()["versions"] if answer.is_success else []
            return versions if len(versions) >= count else []

        versions = wait_for(found, f"{count} versions of {name}")
        assert len(versions) == count
        return versions[::-1]

    def live(self, path: str) -> dict[str, Any]:
        answer = self.api.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def run(self, *words: object) -> tuple[int, str]:
        """Runs `muniment` against the server, with bob's configuration where one is named."""
        token = ("--url", self.server.url, "--token", self.server.admin_token)
        return muniment(*words, *token, cwd=self.directory)

    def roll_back(self, name: str, version: object, *words: object) -> tuple[int, str]:
        """As bob, whose rights are those of deploy/kubernetes/rollback.yaml."""
        config = self.agent.config.with_name("bob.toml")
        return self.run("rollback", name, "--to", version, "--config", config, *words)


def ingress(name: str, port: int = 80) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"number": port}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"rules": [{"host": f"{name}.example", "http": {"paths": [path]}}]},
    }


def to_port(number: int) -> list[dict[str, Any]]:
    path = "/spec/rules/0/http/paths/0/backend/service/port/number"
    return [{"op": "replace", "path": path, "value": number}]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    kubectl()  # first of all: it skips where there is none
    directory, port = tmp_path_factory.mktemp("kubernetes"), free_port()
    trust = write_certificate(directory)
    env = {"MUNIMENT_REQUIRE_TOKENS": "true"}
    with serving(directory, env, config=LISTENER.format(port=port, pem=trust)) as server:
        server.http.headers["Authorization"] = f"Bearer {server.admin_token}"
        webhook = f"https://127.0.0.1:{port}/kubernetes/audit"
        users = {"alice": "alice-for-tests", "bob": "bob-for-tests"}
        with kube_apiserver(
            directory,
            webhook,
            server.admin_token,
            trust,
            users=users,
            policy=MANIFESTS / "audit-policy.yaml",
        ) as api:
            prepare(api)
            agent = start_agent(directory, server, api, users["bob"])
            people = [Person(api, token, directory) for token in users.values()]
            try:
                yield Edge(directory, server, api, agent, *people)
            finally:
                agent.close()


def prepare(api: ApiServer) -> None:
    """The manifests as they are in deploy/, namespaces, and what people may do."""
    for name in ("agent.yaml", "rollback.yaml"):
        for thing in yaml.safe_load_all((MANIFESTS / name).read_text()):
            make(api, thing)
    for name in ("shop", "ingress"):
        make(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "ClusterRole"}
    agent = {"kind": "ServiceAccount", "name": "muniment-agent", "namespace": "muniment"}
    for kind, space, name, who in (
        ("ClusterRoleBinding", None, "cluster-admin", {"kind": "User", "name": "alice"}),
        ("ClusterRoleBinding", None, "muniment-rollback", {"kind": "User", "name": "bob"}),
        ("RoleBinding", "ingress", "muniment-agent-configmaps", agent),
    ):
        make(
            api,
            {
                "apiVersion": f"{rbac}/v1",
                "kind": kind,
                "metadata": {"name": f"test-{name}"} | ({"namespace": space} if space else {}),
                "roleRef": {**role, "name": name},
                "subjects": [who],
            },
        )
    install_gateway_api(api)


def make(api: ApiServer, thing: dict[str, Any]) -> None:
    plural = {"NetworkPolicy": "networkpolicies", "IngressClass": "ingressclasses"}.get(
        thing["kind"], thing["kind"].lower() + "s"
    )
    version, space = thing["apiVersion"], thing["metadata"].get("namespace")
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    path = f"{base}/namespaces/{space}/{plural}" if space else f"{base}/{plural}"
    answer = api.http.post(path, json=thing)
    assert answer.status_code in (201, 409), answer.text


def install_gateway_api(api: ApiServer) -> None:
    """The definitions of the Gateway API from its Go module, where that can be had."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        return
    command = [go, "mod", "download", "-json", GATEWAY_API]
    done = subprocess.run(command, cwd="/", capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        return
    folder = Path(json.loads(done.stdout)["Dir"]) / "config/crd/standard"
    for path in sorted(folder.glob("*.yaml")):
        for thing in yaml.safe_load_all(path.read_text()):
            make(api, thing)
    url = "/apis/gateway.networking.k8s.io/v1/httproutes"
    wait_for(lambda: api.http.get(url).status_code == 200, "the Gateway API to be served")


def start_agent(directory: Path, server: MunimentServer, api: ApiServer, bob: str) -> Agent:
    """The agent with the token of its service account; and bob's configuration beside it."""
    account = "/api/v1/namespaces/muniment/serviceaccounts/muniment-agent/token"
    answer = api.http.post(account, json={"spec": {"expirationSeconds": 3_600}})
    tokens = {
        "account.token": answer.json()["status"]["token"],
        "bob.token": bob,
        "muniment.token": server.admin_token,
    }
    for name, token in tokens.items():
        (directory / name).write_text(f"{token}\n")
    url = str(api.http.base_url).rstrip("/")
    top = f'token_file = "{directory / "muniment.token"}"'
    section = SECTION.format(url=url, ca=api.ca, token=directory / "account.token")
    agent = Agent(directory / "agent", server.url, section, name="k8s", top=top)
    text = agent.config.read_text().replace("account.token", "bob.token")
    agent.config.with_name("bob.toml").write_text(text)
    agent.start()
    return agent


def test_an_edit_has_who_what_when_and_the_proof(edge: Edge) -> None:
    edge.alice.create(ingress("web"))
    edge.versions(WEB, 1)
    edge.alice.patch(f"{SPACE}/web", to_port(8081), "json")

    _, edited = edge.versions(WEB, 2)
    (field,) = edited["fields"]
    assert field["path"].endswith("/backend/service/port/number")
    assert (field["before"], field["after"]) == (80, 8081)

    def blamed() -> dict[str, Any]:
        _, version = edge.versions(WEB, 2, "blame")
        found = [one for one in version["evidence"] if one["action"] == "patch"]
        return found[0] if found else {}

    evidence = wait_for(blamed, "the audit event of the edit")
    assert evidence["who"] == "alice"
    assert evidence["certain"]
    assert "kubectl" in evidence["how"]
    assert evidence["where"] == "127.0.0.1"
    raw = edge.server.entry(evidence["entry"]["index"], evidence["entry"]["shard"])
    event = json.loads(split_entry(raw)[1])
    assert event["user"]["username"] == "alice"
    assert event["objectRef"]["name"] == "web"
    assert edited["since"] < event["stageTimestamp"] <= edited["time"][:-1] + "999Z"

    _, blame = edge.versions(WEB, 2, "blame")
    assert "by alice from 127.0.0.1" in blame["conclusion"]
    status, printed = edge.run("blame", WEB)
    assert status == 0
    assert "alice" in printed
    for entry in (edited["entry"], evidence["entry"]):
        place = f"default/{entry['shard']}/{entry['index']}"
        status, printed = edge.run("prove", place, "--output", edge.directory / "proof.json")
        assert status == 0, printed


def test_a_rollback_puts_it_back_and_is_recorded(edge: Edge) -> None:
    status, printed = edge.roll_back(WEB, 1, "--yes", "--reason", "wrong port")
    assert status == 0, printed

    found = edge.live(f"{SPACE}/web")
    assert found["spec"] == ingress("web")["spec"]
    assert "muniment" in {one["manager"] for one in found["metadata"]["managedFields"]}
    first, _, third = edge.versions(WEB, 3)
    assert third["version"] == first["version"]

    def recorded() -> list[str]:
        rows = edge.server.sql(
            "SELECT api.operation FROM events WHERE source = 'muniment'"
            " AND api.operation LIKE 'rollback.%' ORDER BY index"
        )
        return [operation for (operation,) in rows] if len(rows) >= 2 else []

    assert wait_for(recorded, "the records of the rollback") == ["rollback.apply", "rollback.done"]

    def blamed() -> set[str]:
        _, _, version = edge.versions(WEB, 3, "blame")
        people = {one["who"] for one in version["evidence"]}
        return people if "bob" in people else set()

    wait_for(blamed, "the audit event of the rollback")


def test_two_edits_between_two_looks_are_two_versions(edge: Edge) -> None:
    name = "kubernetes:edge/ingress/shop/twice"
    edge.alice.create(ingress("twice"))
    edge.versions(name, 1)
    for port in range(8001, 8011):
        answer = edge.api.http.patch(
            f"{SPACE}/twice",
            content=json.dumps(to_port(port)),
            headers={"Content-Type": "application/json-patch+json"},
        )
        assert answer.is_success
    versions = edge.versions(name, 11)
    assert [one["fields"][0]["after"] for one in versions[1:]] == list(range(8001, 8011))


def test_what_was_added_is_taken_out_again(edge: Edge) -> None:
    name = "kubernetes:edge/ingress/shop/more"
    edge.alice.create(ingress("more"))
    edge.versions(name, 1)
    edge.alice.patch(f"{SPACE}/more", {"metadata": {"annotations": {"a/b": "c"}}})
    edge.versions(name, 2)
    status, printed = edge.roll_back(name, 1, "--yes")
    assert status == 0, printed
    assert "annotations" not in edge.live(f"{SPACE}/more")["metadata"]
    edge.versions(name, 3)


def test_what_was_deleted_comes_back_and_what_came_is_deleted(edge: Edge) -> None:
    name = "kubernetes:edge/ingress/shop/gone"
    edge.alice.create(ingress("gone"))
    edge.versions(name, 1)
    edge.alice.delete(f"{SPACE}/gone")
    created, deleted = edge.versions(name, 2)
    assert (created["change"], deleted["change"]) == ("create", "delete")
    assert not deleted.get("by")

    status, printed = edge.roll_back(name, 1, "--yes")
    assert status == 0, printed
    assert edge.live(f"{SPACE}/gone")["spec"] == ingress("gone")["spec"]
    edge.versions(name, 3)

    plan = edge.directory / "plan.json"
    status, printed = edge.roll_back(name, 2, "--plan", plan)
    assert status == 0, printed
    assert "delete ingresses" in printed
    assert edge.live(f"{SPACE}/gone")["spec"] == ingress("gone")["spec"]  # a plan changes nothing

    edge.alice.patch(f"{SPACE}/gone", to_port(8082), "json")
    config = edge.agent.config.with_name("bob.toml")
    status, printed = edge.run("rollback", "--apply", plan, "--config", config, "--yes")
    assert status != 0
    assert "moved" in printed or "changed since" in printed
    assert edge.api.http.get(f"{SPACE}/gone").status_code == 200

    edge.versions(name, 4)
    status, printed = edge.roll_back(name, 2, "--yes")
    assert status == 0, printed
    assert edge.api.http.get(f"{SPACE}/gone").status_code == 404


def test_a_state_that_the_api_server_refuses_and_a_person_without_rights(edge: Edge) -> None:
    edge.alice.patch(f"{SPACE}/web", to_port(8083), "json")
    edge.versions(WEB, 4)
    status, printed = edge.run("rollback", WEB, "--to", 1, "--config", edge.agent.config, "--yes")
    assert status != 0
    assert "forbidden" in printed
    assert "muniment-agent" in printed
    assert edge.live(f"{SPACE}/web")["spec"] == ingress("web", 8083)["spec"]


def test_replicas_of_a_controller(edge: Edge) -> None:
    labels = {"app": "controller"}
    container = {"name": "main", "image": "registry.example/controller"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "ingress", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    space = "/apis/apps/v1/namespaces/ingress/deployments"
    name = "kubernetes:edge/scale/deployments/ingress/controller"
    edge.alice.create(deployment)
    edge.versions(name, 1)
    edge.alice.patch(f"{space}/controller/scale", {"spec": {"replicas": 5}})
    _, scaled = edge.versions(name, 2)
    assert scaled["fields"] == [{"path": "/replicas", "before": 2, "after": 5}]

    def blamed() -> list[dict[str, Any]]:
        _, version = edge.versions(name, 2, "blame")
        return [one for one in version["evidence"] if one["who"] == "alice"]

    wait_for(blamed, "the audit event of the scaling")
    status, printed = edge.roll_back(name, 1, "--yes")
    assert status == 0, printed
    assert edge.live(f"{space}/controller")["spec"]["replicas"] == 2


def test_a_certificate_is_told_and_its_key_is_not(edge: Edge, tmp_path: Path) -> None:
    space, name = "/api/v1/namespaces/shop/secrets", "kubernetes:edge/tls-secret/shop/tls"
    keys: list[bytes] = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        pem = write_certificate(folder).read_bytes()
        key, _, _ = pem.partition(b"-----BEGIN CERTIFICATE-----")
        load_pem_private_key(key, None)
        keys.append(key)
        coded = (base64.b64encode(part).decode() for part in (pem[len(key) :], key))
        data = dict(zip(("tls.crt", "tls.key"), coded, strict=True))
        if number == 0:
            meta = {"name": "tls", "namespace": "shop"}
            secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
            edge.alice.create({**secret, "metadata": meta, "data": data})
            edge.versions(name, 1)
        else:
            edge.alice.patch(f"{space}/tls", {"data": data})
    _, rotated = edge.versions(name, 2)
    changed = {field["path"].rpartition("/")[2] for field in rotated["fields"]}
    assert {"sha256", "serial"} <= changed

    edge.server.wait_indexed()
    stored = b"\n".join(edge.server.stored())
    assert b"CN=edge.test" in stored
    for key in keys:
        body = key.splitlines()[1]
        assert body not in stored
        assert base64.b64encode(key)[40:100] not in stored

    status, printed = edge.roll_back(name, 1, "--yes")
    assert status != 0
    assert "never captured" in printed


def test_a_config_map_of_the_controller_has_no_secret(edge: Edge) -> None:
    space = "/api/v1/namespaces/ingress/configmaps"
    name = "kubernetes:edge/configmap/ingress/controller"
    meta = {"name": "controller", "namespace": "ingress"}
    data = {"proxy-body-size": "8m", "admin-password": "hunter2-for-tests"}
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    edge.alice.create({**head, "data": data})
    (first,) = edge.versions(name, 1)
    assert first["redacted"] == ["/data/admin-password"]
    edge.alice.patch(f"{space}/controller", {"data": {"proxy-body-size": "1m"}})
    edge.versions(name, 2)
    status, printed = edge.roll_back(name, 1, "--yes")
    assert status == 0, printed
    assert edge.live(f"{space}/controller")["data"] == data
    captured = [
        raw
        for head, raw in map(split_entry, edge.server.stored())
        if json.loads(head)["via"] == "capture"
    ]
    assert captured
    assert b"hunter2" not in b"".join(captured)


def test_a_route_of_the_gateway_api(edge: Edge) -> None:
    base = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes"
    if edge.api.http.get(base).status_code != 200:
        pytest.skip(f"{GATEWAY_API} cannot be had here: no definitions of the Gateway API")
    name = "kubernetes:edge/httproute/shop/web"
    rule = {"backendRefs": [{"name": "web", "port": 80, "weight": 100}]}
    edge.alice.create(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"parentRefs": [{"name": "edge"}], "rules": [rule]},
        },
    )
    edge.versions(name, 1)
    operation = {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 10}
    edge.alice.patch(f"{base}/web", [operation], "json")
    _, edited = edge.versions(name, 2)
    (field,) = edited["fields"]
    assert (field["before"], field["after"]) == (100, 10)
    status, printed = edge.roll_back(name, 1, "--yes")
    assert status == 0, printed
    weights = [one["weight"] for one in edge.live(f"{base}/web")["spec"]["rules"][0]["backendRefs"]]
    assert weights == [100]


def test_an_edit_while_no_agent_ran_is_told_by_the_first_look(edge: Edge) -> None:
    name = "kubernetes:edge/ingress/shop/away"
    edge.alice.create(ingress("away"))
    edge.versions(name, 1)
    edge.agent.kill()
    edge.alice.patch(f"{SPACE}/away", to_port(8084), "json")
    edge.agent.start()
    first, edited = edge.versions(name, 2)
    assert edited["fields"][0]["after"] == 8084
    assert edited["since"] >= first["time"]


def test_the_directory_is_intact(edge: Edge) -> None:
    edge.agent.stop()
    edge.server.wait_indexed()
    report = verify_directory(edge.server.data)
    assert report.intact, "\n".join(map(str, report.findings))
