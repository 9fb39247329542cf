"""Putting objects of a cluster back, against recorded answers of an API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from recorded_api_server import DATA, EVENTS, INGRESSES, RecordedApiServer, recorded_api_server

from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName, Snapshot
from muniment.capture.systems.kubernetes import Settings
from muniment.errors import InputError
from muniment.rollback.kubernetes import APPLY, applier
from muniment.rollback.port import Applier, ApplyFailed, CannotRollBack

REDACT = redactor(b"k" * 32)
WEB = ObjectName.parse("kubernetes:edge/ingress/shop/web")
PATH = INGRESSES.replace("/ingresses", "/namespaces/shop/ingresses")
ANNOTATED, PORT = (json.loads(line)["object"] for line in EVENTS[:2])
CONFLICT = (409, (DATA / "conflict.json").read_bytes())


class Cluster:
    """An applier of a recorded API server that holds one object."""

    def __init__(self, api: RecordedApiServer, url: str) -> None:
        self.api = api
        self.applier: Applier = applier(Settings(name="edge", url=url), REDACT)

    def hold(self, thing: dict[str, Any], path: str = f"{PATH}/web") -> None:
        self.api.answers[path, ""] = (200, json.dumps(thing).encode())

    def live(self, name: ObjectName = WEB) -> Snapshot | None:
        return self.applier.live(name)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with recorded_api_server() as (api, url):
        one = Cluster(api, url)
        yield one
        one.applier.close()


def answer(thing: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps(thing).encode()


def test_server_side_apply_takes_over_what_the_plan_says(cluster: Cluster) -> None:
    cluster.hold(ANNOTATED)
    before = cluster.live()
    assert before is not None
    cluster.hold(PORT)
    cluster.api.outcomes = [answer(ANNOTATED), CONFLICT]

    (step,) = cluster.applier.plan(WEB, cluster.live(), before.state)

    assert step.does == (
        "server-side apply of ingresses.networking.k8s.io shop/web,"
        " taking over what kubectl-create manages"
    )
    assert [query["dryRun"] for _, _, query, _ in cluster.api.writes] == ["All", "All"]
    assert cluster.applier.apply([step]) == ["resourceVersion 232"]
    method, path, query, body = cluster.api.writes[-1]
    assert (method, path) == ("PATCH", f"{PATH}/web")
    assert query == {"force": "true", "fieldManager": "muniment", "type": APPLY}
    assert body["metadata"]["resourceVersion"] == "232"
    assert body["spec"] == ANNOTATED["spec"]
    assert "status" not in body
    cluster.hold(ANNOTATED)
    assert cluster.applier.plan(WEB, cluster.live(), before.state) == []


def test_without_a_conflict_nothing_is_forced(cluster: Cluster) -> None:
    cluster.hold(ANNOTATED)
    before = cluster.live()
    assert before is not None
    cluster.hold(PORT)
    cluster.api.outcomes = [answer(ANNOTATED), answer(ANNOTATED)]
    (step,) = cluster.applier.plan(WEB, cluster.live(), before.state)
    assert step.does == "server-side apply of ingresses.networking.k8s.io shop/web"
    cluster.applier.apply([step])
    assert "force" not in cluster.api.writes[-1][2]


def test_what_apply_leaves_in_is_taken_out_by_a_replacement(cluster: Cluster) -> None:
    plain = deepcopy(ANNOTATED)
    del plain["metadata"]["annotations"]
    cluster.hold(plain)
    before = cluster.live()
    assert before is not None
    noted = "kubectl.kubernetes.io/last-applied-configuration"
    now = deepcopy(ANNOTATED)
    now["metadata"]["annotations"][noted] = "{}"
    now["metadata"]["finalizers"] = ["a/b"]
    cluster.hold(now)
    cluster.api.outcomes = [answer(now)]

    (step,) = cluster.applier.plan(WEB, cluster.live(), before.state)

    assert step.does.startswith("replace ingresses.networking.k8s.io shop/web")
    cluster.applier.apply([step])
    tried, done = cluster.api.writes[-2:]
    assert (tried[0], tried[2]["dryRun"]) == ("PUT", "All")
    assert "dryRun" not in done[2]
    body = done[3]
    assert body["metadata"]["annotations"] == {noted: "{}"}
    assert body["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]
    assert body["metadata"]["finalizers"] == ["a/b"]


def test_what_is_not_there_is_created(cluster: Cluster) -> None:
    cluster.hold(ANNOTATED)
    before = cluster.live()
    assert before is not None
    del cluster.api.answers[f"{PATH}/web", ""]
    assert cluster.live() is None
    (step,) = cluster.applier.plan(WEB, None, before.state)
    assert step.does == "create ingresses.networking.k8s.io shop/web"
    cluster.applier.apply([step])
    tried, done = cluster.api.writes
    assert (tried[0], tried[1], tried[2]["dryRun"]) == ("POST", PATH, "All")
    assert "dryRun" not in done[2]
    assert done[3]["spec"] == ANNOTATED["spec"]


def test_what_was_not_there_is_deleted_and_not_while_planning(cluster: Cluster) -> None:
    cluster.hold(PORT)
    (step,) = cluster.applier.plan(WEB, cluster.live(), None)
    assert step.does == "delete ingresses.networking.k8s.io shop/web"
    cluster.applier.apply([step])
    tried, done = cluster.api.writes
    conditions = {k: PORT["metadata"][k] for k in ("uid", "resourceVersion")}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
    # Of a DELETE with a body, the API server reads the dry run from the body alone.
    assert tried[3] == {**options, "dryRun": ["All"]}
    assert done[3] == options
    assert tried[0] == done[0] == "DELETE"


def test_replicas_go_through_the_scale_subresource(cluster: Cluster) -> None:
    apps = "/apis/apps"
    cluster.api.answers[apps, ""] = (200, b'{"versions": [{"version": "v1"}]}')
    served = {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}
    cluster.api.answers[f"{apps}/v1", ""] = answer(served)
    path = f"{apps}/v1/namespaces/a/deployments/main"
    meta = {"name": "main", "namespace": "a", "resourceVersion": "7"}
    cluster.hold({"metadata": meta, "spec": {"replicas": 5}, "status": {"readyReplicas": 1}}, path)
    cluster.hold({"metadata": meta, "spec": {"replicas": 5}}, f"{path}/scale")
    name = ObjectName.parse("kubernetes:edge/scale/deployments/a/main")
    live = cluster.live(name)
    assert live is not None
    wanted = {**live.state, "replicas": 2, "status": {"ready": 2}}

    (step,) = cluster.applier.plan(name, live, wanted)

    assert step.does == "scale deployments.apps a/main to 2"
    assert step.undo == "scale deployments.apps a/main to 5"
    cluster.applier.apply([step])
    _, sent, _, body = cluster.api.writes[-1]
    assert sent == f"{path}/scale"
    assert body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 2}}
    assert cluster.applier.plan(name, live, {**live.state, "status": {}}) == []
    with pytest.raises(CannotRollBack):
        cluster.applier.plan(name, live, None)


def test_a_secret_comes_back_only_while_the_object_has_it(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/a/configmaps/main"
    name = ObjectName.parse("kubernetes:edge/configmap/a/main")
    meta = {"name": "main", "namespace": "a", "resourceVersion": "7"}
    first = {"metadata": meta, "data": {"password": "hunter2", "size": "1"}}
    cluster.hold(first, path)
    before = cluster.live(name)
    assert before is not None
    assert before.redacted == ["/data/password"]
    assert "hunter2" not in json.dumps(before.state)
    cluster.hold({**first, "data": {"password": "hunter2", "size": "2"}}, path)
    cluster.api.outcomes = [answer(first), answer(first)]
    (step,) = cluster.applier.plan(name, cluster.live(name), before.state)
    cluster.applier.apply([step])
    assert cluster.api.writes[-1][3]["data"] == {"password": "hunter2", "size": "1"}
    cluster.hold({**first, "data": {"password": "another", "size": "2"}}, path)
    with pytest.raises(CannotRollBack, match="secret"):
        cluster.applier.plan(name, cluster.live(name), before.state)


def test_what_the_api_server_refuses_is_no_plan(cluster: Cluster) -> None:
    cluster.hold(ANNOTATED)
    before = cluster.live()
    assert before is not None
    cluster.hold(PORT)
    invalid = json.dumps({"message": "spec.rules[0].host: Invalid value", "code": 422}).encode()
    cluster.api.outcomes = [(422, invalid), (422, invalid)]
    with pytest.raises(CannotRollBack, match="Invalid value"):
        cluster.applier.plan(WEB, cluster.live(), before.state)


def test_a_version_of_another_object_is_refused(cluster: Cluster) -> None:
    wanted = {"metadata": {"name": "other", "namespace": "shop"}, "spec": {}}
    with pytest.raises(CannotRollBack, match="of another object"):
        cluster.applier.plan(WEB, cluster.live(), wanted)


def test_who_was_faster_wins(cluster: Cluster) -> None:
    cluster.hold(PORT)
    (step,) = cluster.applier.plan(WEB, cluster.live(), None)
    cluster.api.outcomes = [CONFLICT]
    with pytest.raises(ApplyFailed, match="conflict"):
        cluster.applier.apply([step])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("kubernetes:edge/tls-secret/shop/tls", CannotRollBack),
        ("kubernetes:edge/endpointslice/shop/web-abc", CannotRollBack),
        ("kubernetes:edge/httproute/shop/web", CannotRollBack),
        ("kubernetes:edge/ingress/web", CannotRollBack),
        ("kubernetes:edge/ingress/a/b/c", CannotRollBack),
        ("kubernetes:edge/pod/shop/web", InputError),
        ("kubernetes:edge/scale/pods/shop/web", InputError),
    ],
)
def test_what_cannot_be_put_back(cluster: Cluster, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        cluster.live(ObjectName.parse(name))
    assert cluster.api.writes == []
