"""The watch of a cluster, against recorded answers of a real API server over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from recorded_api_server import (
    DROP,
    END,
    EVENTS,
    GONE,
    INGRESSES,
    RecordedApiServer,
    recorded_api_server,
)

from muniment.capture.port import Observation
from muniment.capture.redaction import redactor
from muniment.capture.systems import kubernetes_reflector as reflecting
from muniment.capture.systems.kubernetes import KubernetesWatcher, Settings, parts, watchers
from muniment.errors import SettingsError, Unavailable

REDACT = redactor(b"k" * 32)
WEB, OLD, NEW = (f"kubernetes:edge/ingress/shop/{name}" for name in ("web", "old", "new"))
ANNOTATED, PORT, STATUS, ADDED, DELETED, BOOKMARK = EVENTS


class Cluster:
    """A watcher of a recorded API server."""

    def __init__(self, api: RecordedApiServer, url: str, **more: Any) -> None:
        self.api = api
        settings = Settings(**{"name": "edge", "url": url, "resources": ("ingresses",), **more})
        (watcher,) = watchers(settings, REDACT)
        assert isinstance(watcher, KubernetesWatcher)
        self.watcher = watcher

    def look(self) -> Observation:
        (seen,) = self.watcher.observe()
        return seen

    def until(self, done: Callable[[Observation], bool]) -> list[Observation]:
        """Looks until one look is as it should be, and returns all looks."""
        looks = []
        for _ in range(3_000):
            looks.append(self.look())
            if done(looks[-1]):
                return looks
            time.sleep(0.01)
        raise AssertionError(looks[-1])

    def passed(self, count: int) -> list[Any]:
        """Looks until so many changes have passed, and returns them."""
        found: list[Any] = []
        self.until(lambda seen: len(found.extend(seen.passed) or found) >= count)
        assert len(found) == count
        return found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflecting, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reflecting, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with recorded_api_server() as (api, url):
        one = Cluster(api, url)
        yield one
        one.watcher.close()


def test_a_first_look_has_all_pages_of_the_list(cluster: Cluster) -> None:
    seen = cluster.look()

    assert (seen.scope, seen.error, list(seen.passed)) == ("ingresses", "", [])
    assert sorted(seen.objects) == [
        f"kubernetes:edge/ingress/shop/{n}" for n in ("api", "old", "web")
    ]
    web = seen.objects[WEB]
    assert web.names == ["ingresses/shop/web"]
    assert web.by == {"tool": "kubectl-create", "time": "2026-11-21T14:42:26Z", "revision": "226"}
    assert set(web.state) == {"apiVersion", "kind", "metadata", "spec"}
    assert web.state["metadata"] == {"name": "web", "namespace": "shop"}
    assert cluster.api.await_watch()["resourceVersion"] == "228"


def test_every_edit_between_two_looks_is_told_in_its_order(cluster: Cluster) -> None:
    cluster.look()
    for line in (ANNOTATED, PORT, ADDED, DELETED):
        cluster.api.told.put(line + b"\n")

    annotated, port, added, deleted = cluster.passed(4)

    assert [one.name for one in (annotated, port, added, deleted)] == [WEB, WEB, NEW, OLD]
    noted = {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"}
    assert annotated.snapshot.state["metadata"]["annotations"] == noted
    assert annotated.snapshot.by["tool"] == "kubectl-annotate"
    assert port.snapshot.by["tool"] == "kubectl-patch"
    rule = port.snapshot.state["spec"]["rules"][0]
    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"number": 8081}
    assert deleted.snapshot is None
    assert set(cluster.look().objects) == {WEB, NEW, "kubernetes:edge/ingress/shop/api"}


def test_an_address_of_the_balancer_is_told_apart(cluster: Cluster) -> None:
    cluster.look()
    cluster.api.told.put(PORT + b"\n" + STATUS + b"\n")
    port, status = cluster.passed(2)
    assert status.snapshot.state == {
        **port.snapshot.state,
        "status": {"addresses": [{"ip": "192.0.2.10"}]},
    }


def test_noise_is_no_edit(cluster: Cluster) -> None:
    seen = cluster.look()
    event = json.loads(ANNOTATED)
    del event["object"]["metadata"]["annotations"]
    event["object"]["metadata"] |= {"generation": 7, "uid": "another", "finalizers": ["a/b"]}
    cluster.api.told.put(json.dumps(event).encode() + b"\n")
    cluster.api.told.put(ADDED + b"\n")
    (added,) = cluster.passed(1)
    assert added.name == NEW
    assert cluster.look().objects[WEB].version == seen.objects[WEB].version


def test_a_watch_that_was_ended_goes_on_from_the_bookmark(cluster: Cluster) -> None:
    cluster.look()
    cluster.api.await_watch()
    cluster.api.told.put(BOOKMARK + b"\n")
    cluster.api.told.put(END)
    assert cluster.api.await_watch()["resourceVersion"] == "235"
    assert [path for path, _, query in cluster.api.asked if "watch" not in query].count(
        INGRESSES
    ) == 2  # the two pages of the first list


def test_a_dropped_connection_loses_nothing(cluster: Cluster) -> None:
    cluster.look()
    cluster.api.await_watch()
    cluster.api.told.put(ANNOTATED + b"\n" + PORT[:100])
    cluster.api.told.put(DROP)
    assert cluster.api.await_watch()["resourceVersion"] == "230"
    cluster.api.told.put(PORT + b"\n")
    annotated, port = cluster.passed(2)
    assert (annotated.snapshot.by["revision"], port.snapshot.by["revision"]) == ("230", "232")


def test_an_event_in_many_small_pieces(cluster: Cluster) -> None:
    cluster.look()
    for start in range(0, len(PORT) + 1, 100):
        cluster.api.told.put((PORT + b"\n")[start : start + 100])
    (port,) = cluster.passed(1)
    assert port.snapshot.by["revision"] == "232"


@pytest.mark.parametrize("in_the_stream", [True, False])
def test_a_version_that_is_gone_has_all_listed_anew(cluster: Cluster, in_the_stream: bool) -> None:
    cluster.look()
    cluster.api.await_watch()
    web = json.loads(PORT)["object"]
    cluster.api.list([web, json.loads(ADDED)["object"]], "1001")
    if in_the_stream:
        cluster.api.told.put(json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n")
    else:
        cluster.api.next.append((410, json.dumps(GONE).encode()))
        cluster.api.told.put(END)
        cluster.api.await_watch()

    assert cluster.api.await_watch()["resourceVersion"] == "1001"
    found = {one.name: one.snapshot is not None for one in cluster.passed(4)}
    assert found == {WEB: True, NEW: True, OLD: False, "kubernetes:edge/ingress/shop/api": False}
    assert set(cluster.look().objects) == {WEB, NEW}


def test_an_api_server_that_fails_deletes_nothing(cluster: Cluster) -> None:
    cluster.look()
    cluster.api.await_watch()
    forbidden = {"kind": "Status", "message": "ingresses is forbidden", "code": 403}
    cluster.api.answers[INGRESSES, ""] = (403, json.dumps(forbidden).encode())
    cluster.api.next += [(403, json.dumps(forbidden).encode())] * 3
    cluster.api.told.put(END)

    *_, seen = cluster.until(lambda one: bool(one.error))
    assert "ingresses is forbidden" in seen.error
    assert not seen.objects

    cluster.api.list([json.loads(PORT)["object"]], "1001")
    *_, seen = cluster.until(lambda one: not one.error)
    assert set(seen.objects) == {WEB}


def test_what_is_not_served_is_no_scope_until_it_is(cluster: Cluster) -> None:
    with recorded_api_server() as (api, url):
        one = Cluster(api, url, resources=("ingresses", "httproutes"))
        assert [seen.scope for seen in one.watcher.observe()] == ["ingresses"]
        group, version = "gateway.networking.k8s.io", "v1"
        versions = [{"version": "v1beta1"}, {"version": version}]
        found = {"preferredVersion": {"version": version}, "versions": versions}
        api.answers[f"/apis/{group}", ""] = (200, json.dumps(found).encode())
        served = {"resources": [{"name": "httproutes", "kind": "HTTPRoute", "namespaced": True}]}
        api.answers[f"/apis/{group}/v1", ""] = (200, json.dumps(served).encode())
        api.answers[f"/apis/{group}/v1beta1", ""] = (200, b'{"resources": []}')
        api.list([], "5", f"/apis/{group}/v1/httproutes")
        one.watcher._discovered = None
        assert [seen.scope for seen in one.watcher.observe()] == ["ingresses", "httproutes"]
        one.watcher.close()


def test_what_comes_too_fast_is_bounded_and_ends_in_the_truth(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflecting, "MAX_PASSED", 10)
    cluster.look()
    event = json.loads(PORT)
    for number in range(50):
        event["object"]["metadata"]["resourceVersion"] = str(1_000 + number)
        event["object"]["spec"]["ingressClassName"] = f"class-{number}"
        cluster.api.told.put(json.dumps(event).encode() + b"\n")
    cluster.api.await_watch()
    cluster.api.told.put(END)
    cluster.api.await_watch()
    seen = cluster.look()
    classes = [one.snapshot.state["spec"]["ingressClassName"] for one in seen.passed]
    assert classes == [f"class-{number}" for number in range(40, 50)]
    assert seen.objects[WEB].state["spec"]["ingressClassName"] == "class-49"


def test_the_token_is_read_again_for_each_request(tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with recorded_api_server() as (api, url):
        one = Cluster(api, url, token_file=token)
        one.look()
        token.write_text("second")
        api.await_watch()
        api.told.put(END)
        api.await_watch()
        said = [authorization for _, authorization, _ in api.asked]
        one.watcher.close()
    assert (said[0], said[-1]) == ("Bearer first", "Bearer second")


def test_no_answer_is_an_error_of_the_watcher() -> None:
    with recorded_api_server() as (api, url):
        pass
    one = Cluster(api, url)
    with pytest.raises(Unavailable):
        one.look()
    one.watcher.close()


def test_a_kubeconfig_that_is_none(tmp_path: Any) -> None:
    settings = Settings(name="edge", kubeconfig=tmp_path / "none")
    with pytest.raises(SettingsError):
        watchers(settings, REDACT)
    (tmp_path / "bad").write_text("[1, 2]")
    with pytest.raises(SettingsError):
        watchers(Settings(name="edge", kubeconfig=tmp_path / "bad"), REDACT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"configmaps": ["one"]},
        {"scale": ["pods/a/b"]},
        {"resources": ["pods"]},
        {"url": "http://a", "kubeconfig": "b"},
        {"scale": ["deployments/a/b"], "scale_selector": "app=a"},
    ],
)
def test_settings_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(name="edge", **wrong)


def test_what_the_settings_ask_to_watch() -> None:
    settings = Settings(
        name="edge",
        namespaces=("a", "b"),
        resources=("ingresses", "ingressclasses", "secrets"),
        configmaps=("ingress/main",),
        scale_selector="app=web",
    )
    assert [one.scope for one in parts(settings)] == [
        *("ingresses/a", "ingresses/b", "ingressclasses"),
        *("secrets/a?type=kubernetes.io/tls", "secrets/b?type=kubernetes.io/tls"),
        "configmaps/ingress?metadata.name=main",
        *(
            f"{plural}/{space}?app=web"
            for plural in ("deployments", "statefulsets", "daemonsets")
            for space in ("a", "b")
        ),
    ]
