"""What is made of an Envoy's recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_pages import Recorded, recorded

from muniment.balancer.envoy import health, resources
from muniment.capture.change import change
from muniment.capture.port import Observation
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import ObjectName
from muniment.capture.systems.envoy import EnvoyWatcher, Settings, watchers

DATA = Path(__file__).parents[2] / "data" / "envoy" / "admin"
REDACT = redactor(b"k" * 32)
PAGES = ("config_dump", "clusters", "certs", "runtime", "server_info", "stats")
Look = Callable[[], dict[str, Observation]]


def answers() -> dict[str, bytes]:
    return {f"/{page}": (DATA / f"{page}.json").read_bytes() for page in PAGES}


@pytest.fixture
def envoy() -> Iterator[Recorded]:
    with recorded(answers()) as found:
        yield found


@pytest.fixture
def watch(envoy: Recorded) -> Iterator[Look]:
    (watcher,) = watchers(Settings(name="edge", url=envoy.url), REDACT)
    yield lambda: {seen.scope: seen for seen in watcher.observe()}
    watcher.close()


def edit(envoy: Recorded, page: str, act: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(envoy.answers[page])
    act(told)
    envoy.answers[page] = json.dumps(told).encode()


def part(dump: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in dump["configs"] if one["@type"].endswith(f".{kind}ConfigDump")]
    return found


def changes(old: dict[str, Observation], new: dict[str, Observation]) -> dict[str, Any]:
    found = {}
    for scope, seen in new.items():
        assert not seen.error
        for name in old[scope].objects.keys() | seen.objects.keys():
            before, after = old[scope].objects.get(name), seen.objects.get(name)
            event = change(name, before, after, time="2", since="1")
            if event is not None:
                found[name] = event
    return found


def test_everything_is_an_object(watch: Look) -> None:
    seen = watch()
    names = {name for one in seen.values() for name in one.objects}
    servers = {name for name in names if "/server/" in name}
    assert len(servers) == 1
    assert names - servers == {
        "envoy:edge/bootstrap/bootstrap",
        "envoy:edge/listener/web",
        "envoy:edge/listener/tls",
        "envoy:edge/cluster/app",
        "envoy:edge/endpoints/app",
        "envoy:edge/route/main",
        "envoy:edge/secret/edge",
        "envoy:edge/certificate/inline/chain/edge.test",
        "envoy:edge/health/app",
        "envoy:edge/runtime/upstream.healthy_panic_threshold",
        "envoy:edge/process/envoy",
    }
    assert all(str(ObjectName.parse(name)) == name for name in names)
    (counter,) = seen["counters"].counters
    assert (counter.name, counter.served) == ("http", 5)


def test_times_order_and_counters_are_no_change(envoy: Recorded, watch: Look) -> None:
    before = watch()

    def later(told: Any) -> Any:
        if isinstance(told, dict):
            moving = ("last_updated", "version_info", "days_until_expiration")
            changed = {key: "2030-01-01T00:00:00Z" for key in moving if key in told}
            return {key: later(value) for key, value in told.items()} | changed
        return [later(one) for one in told] if isinstance(told, list) else told

    for page in PAGES[:3]:
        told = later(json.loads(envoy.answers[f"/{page}"]))
        if page == "config_dump":
            part(told, "Bootstrap")["last_updated"] = part(
                json.loads(envoy.answers["/config_dump"]), "Bootstrap"
            )["last_updated"]
            part(told, "Listeners")["static_listeners"].reverse()
        envoy.answers[f"/{page}"] = json.dumps(told).encode()
    edit(envoy, "/stats", lambda told: told["stats"][2].update(value=500))
    edit(envoy, "/server_info", lambda told: told.update(uptime_current_epoch="9000s"))
    after = watch()
    assert changes(before, after) == {}
    assert [one.served for one in after["counters"].counters] == [500]
    assert after["counters"].counters[0].epoch == before["counters"].counters[0].epoch


def test_a_restart_begins_another_epoch(envoy: Recorded, watch: Look) -> None:
    before = watch()
    edit(
        envoy,
        "/config_dump",
        lambda told: part(told, "Bootstrap").update(last_updated="2030-01-01T00:00:00Z"),
    )
    after = watch()
    assert list(changes(before, after)) == ["envoy:edge/process/envoy"]
    assert after["counters"].counters[0].epoch != before["counters"].counters[0].epoch


def test_a_server_that_fails_is_health(envoy: Recorded, watch: Look) -> None:
    before = watch()

    def fail(told: dict[str, Any]) -> None:
        host = told["cluster_statuses"][0]["host_statuses"][0]
        host["health_status"] = {
            "failed_active_health_check": True,
            "eds_health_status": "DRAINING",
        }

    edit(envoy, "/clusters", fail)
    (event,) = changes(before, watch()).values()
    assert event["object"] == "envoy:edge/health/app"
    assert event["fields"][0]["after"] == ["failed_active_health_check", "eds:DRAINING"]


def test_a_refused_update_is_told(envoy: Recorded, watch: Look) -> None:
    before = watch()

    def refuse(told: dict[str, Any]) -> None:
        active = part(told, "Clusters")["dynamic_active_clusters"][0]
        active["error_state"] = {"details": "no such policy", "last_update_attempt": "2026"}

    edit(envoy, "/config_dump", refuse)
    (event,) = changes(before, watch()).values()
    assert event["fields"] == [{"path": "/refused", "after": "no such policy"}]


def test_dynamic_listeners_that_only_drain_are_gone(envoy: Recorded, watch: Look) -> None:
    def draining(told: dict[str, Any]) -> None:
        listeners = part(told, "Listeners")
        old, new = listeners.pop("static_listeners")
        listeners["dynamic_listeners"] = [
            {"name": old["listener"]["name"], "draining_state": old},
            {"name": new["listener"]["name"], "active_state": new, "draining_state": old},
        ]

    edit(envoy, "/config_dump", draining)
    names = [name for name in watch()["configuration"].objects if "/listener/" in name]
    assert len(names) == 1


def test_secrets_stay(envoy: Recorded, watch: Look) -> None:
    def secrets(told: dict[str, Any]) -> None:
        listener = part(told, "Listeners")["static_listeners"][0]["listener"]
        listener["extra"] = {
            "initial_metadata": [{"key": "authorization", "value": "Bearer hush"}],
            "auth_password": {"inline_string": "hush"},
            "uri": "redis://app:hush@cache.test:6379",
            "kept": [{"key": "x-env", "value": "prod"}],
        }

    edit(envoy, "/config_dump", secrets)
    objects = watch()["configuration"].objects
    shown = {name: one for name, one in objects.items() if "extra" in one.state}
    (listener,) = shown.values()
    assert "hush" not in str(objects)
    assert sorted(listener.redacted) == [
        "/extra/auth_password/inline_string",
        "/extra/initial_metadata/0/value",
        "/extra/uri",
    ]
    assert listener.state["extra"]["kept"] == [{"key": "x-env", "value": "prod"}]
    secret = objects["envoy:edge/secret/edge"]
    assert secret.redacted


def test_what_cannot_be_seen_was_not_deleted(envoy: Recorded, watch: Look) -> None:
    hidden = {
        "/config_dump": {"configuration", "process"},
        "/certs": {"certificates"},
        "/clusters": {"health"},
        "/runtime": {"runtime"},
        "/server_info": {"process"},
        "/stats": {"counters"},
    }
    for page, scopes in hidden.items():
        kept = envoy.answers.pop(page)
        assert {scope for scope, seen in watch().items() if seen.error} == scopes
        envoy.answers[page] = kept


def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    socket = tmp_path / "admin.sock"
    with recorded(answers(), socket) as found:
        made = Settings(name="edge", url=found.url, socket=socket, listeners={"web": "class:http"})
        watcher = EnvoyWatcher(made, REDACT)
        seen = list(watcher.observe())
        watcher.close()
    assert not [one.error for one in seen if one.error]
    assert [(one.name, one.served) for one in seen[-1].counters] == [("web", 5)]


def test_endpoints_that_come_with_the_cluster_are_not_told_twice() -> None:
    told = {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {}}]}]}
    for kind, count in (("STATIC", 0), ("LOGICAL_DNS", 0), ("STRICT_DNS", 2), ("EDS", 2)):
        cluster = {"name": "app", "type": kind}
        dump = {
            "configs": [
                {"@type": "x.ClustersConfigDump", "static_clusters": [{"cluster": cluster}]},
                {
                    "@type": "x.EndpointsConfigDump",
                    "static_endpoint_configs": [{"endpoint_config": told}],
                },
            ]
        }
        assert len([one for one in resources(dump) if one.kind != "cluster"]) == count


KEYS = [
    "configs",
    "@type",
    "bootstrap",
    "node",
    "static_listeners",
    "dynamic_listeners",
    "active_state",
    "listener",
    "name",
    "static_clusters",
    "cluster",
    "type",
    "endpoint_config",
    "cluster_name",
    "endpoints",
    "lb_endpoints",
    "endpoint",
    "address",
    "socket_address",
    "cluster_statuses",
    "host_statuses",
    "health_status",
    "certificates",
    "cert_chain",
    "subject_alt_names",
    "entries",
    "layers",
    "layer_values",
    "stats",
    "value",
    "key",
    "last_updated",
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=5)
    | st.sampled_from(["EDS", "x.BootstrapConfigDump", "x.EndpointsConfigDump"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=25,
)


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PAGES), json_values)
def test_any_answer_is_objects_or_an_error(
    envoy: Recorded, watch: Look, page: str, told: Any
) -> None:
    kept = envoy.answers[f"/{page}"]
    envoy.answers[f"/{page}"] = orjson.dumps(told)
    try:
        for seen in watch().values():
            assert seen.error or all(one.version for one in seen.objects.values())
    finally:
        envoy.answers[f"/{page}"] = kept


@given(st.lists(st.booleans(), max_size=4))
def test_only_servers_that_are_down_are_in_health(up: list[bool]) -> None:
    hosts = [
        {
            "address": {"socket_address": {"address": "::1", "port_value": port}},
            "health_status": {} if fine else {"failed_outlier_check": True},
        }
        for port, fine in enumerate(up)
    ]
    told = {"cluster_statuses": [{"name": "app", "host_statuses": hosts}]}
    ((_, down),) = health(told)
    assert down == {
        f"[::1]:{port}": ["failed_outlier_check"] for port, fine in enumerate(up) if not fine
    }
