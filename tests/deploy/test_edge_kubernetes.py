"""`edge render kubernetes`: what goes where, and nothing out of a log's jurisdiction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from muniment.edge.description import Description
from muniment.edge.kubernetes import GATEWAY, INGRESS, MAX_MATCHES, NETWORK, NODES, render
from muniment.edge.kubernetes_routes import MAX_EXPRESSION, routes
from muniment.edge.paths import CLASSES
from muniment.errors import SettingsError
from tests.deploy.descriptions import HEAD, LOGS, described, divided, node

NAMES = [
    ("POST", "/api/v1/logs/{}/entries"),
    ("PUT", "/api/v1/logs/{}/attachments"),
    ("POST", "/in/{}/v1/logs"),
    ("POST", "/in/{}/_bulk"),
    ("POST", "/in/{}/index/_doc"),
    ("POST", "/in/{}/services/collector"),
    ("PUT", "/in/{}/index"),
    ("HEAD", "/in/{}/"),
    ("GET", "/in/{}/_cluster/health"),
    ("GET", "/api/v1/logs/{}/search"),
    ("GET", "/api/v1/logs/{}/shards/ab12/entries/7"),
    ("GET", "/tlog/{}/ab12/checkpoint"),
    ("GET", "/tlog/{}/ab12/tile/0/000"),
]
UNNAMED = [
    ("POST", "/_bulk"),
    ("POST", "/v1/logs"),
    ("PUT", "/index"),
    ("POST", "/loki/api/v1/push"),
]


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def matched(files: Mapping[str, str], method: str, path: str) -> set[str]:
    """The Services that the Gateway's routes lead a request to."""
    return {
        rule["backendRefs"][0]["name"]
        for route in objects(files[GATEWAY])
        if route["kind"] == "HTTPRoute"
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if match["method"] == method and re.fullmatch(match["path"]["value"], path)
    }


def entered(files: Mapping[str, str], path: str) -> set[str]:
    """The Services that an Ingress leads a path to."""
    return {
        one["backend"]["service"]["name"]
        for ingress in objects(files[INGRESS])
        for rule in ingress["spec"]["rules"]
        for one in rule["http"]["paths"]
        if re.match(f"^{one['path']}", path)
    }


def addresses(files: Mapping[str, str], service: str) -> set[str]:
    return {
        end["addresses"][0]
        for one in objects(files[NODES])
        if one["kind"] == "EndpointSlice"
        and one["metadata"]["labels"]["kubernetes.io/service-name"] == service
        for end in one["endpoints"]
    }


@pytest.fixture
def europe(tmp_path: Path) -> Description:
    return divided(tmp_path, "eu")


@pytest.mark.parametrize(("method", "pattern"), NAMES)
@pytest.mark.parametrize("log", LOGS)
def test_a_log_is_led_to_nodes_of_its_jurisdiction_alone(
    method: str, pattern: str, log: str, europe: Description
) -> None:
    files = render(europe)
    path = pattern.format(log)
    allowed = {"eu": {"10.0.0.1", "10.0.0.2"}, "": {"10.0.0.1", "10.0.0.2", "10.1.0.1", "fd00::1"}}
    for services in (matched(files, method, path), entered(files, path)):
        for service in services:
            assert addresses(files, service) <= allowed[LOGS[log]]
        if LOGS[log] == "us":
            assert not services  # it is for the edge there
    if LOGS[log] != "us":
        assert len(matched(files, method, path)) == 1


@pytest.mark.parametrize(("method", "path"), UNNAMED)
def test_what_names_no_log_stays_in_the_jurisdiction_of_the_edge(
    method: str, path: str, europe: Description, tmp_path: Path
) -> None:
    files = render(europe)
    assert matched(files, method, path) == {"edge-ingest-eu"}
    assert entered(files, path) <= {"edge-ingest-eu"}
    assert addresses(files, "edge-ingest-eu") == {"10.0.0.1"}
    nowhere = render(divided(tmp_path, ""))
    assert not matched(nowhere, method, path) and not entered(nowhere, path)


@pytest.mark.parametrize("log", LOGS)
def test_an_index_cannot_be_taken_for_another_log(log: str, europe: Description) -> None:
    found = {
        (one.role, one.scope)
        for one in routes(europe)
        for path in (f"/in/{log}/_bulk", f"/in/{log}/_doc", f"/in/{log}")
        if re.fullmatch(one.expression, path)
    }
    assert {scope for _, scope in found} <= {LOGS[log] or "any"}


def test_without_a_residency_every_class_leads_to_its_role(tmp_path: Path) -> None:
    fleet = described(
        tmp_path,
        HEAD.format(place="") + node("a", "10.0.0.1:8470", "ingest") + node("b", "10.0.0.2:8470"),
    )
    files = render(fleet)
    assert matched(files, "POST", "/api/v1/logs/x/entries") == {"edge-ingest"}
    assert matched(files, "GET", "/api/v1/logs/x/search") == {"edge-query"}
    assert not matched(files, "GET", "/metrics") and not entered(files, "/metrics")
    assert not matched(files, "DELETE", "/api/v1/logs/x/entries")
    assert len(list(routes(fleet))) == len([one for one in CLASSES if not one.own])


def test_no_node_speaks_for_the_others(tmp_path: Path) -> None:
    one = HEAD.format(place="") + node("a", "10.0.0.1:8470")
    alone = render(described(tmp_path, one))
    several = render(described(tmp_path, one + node("b", "10.0.0.2:8470", "ingest")))
    for path in ("/api/v1/logs/x/holds", "/api/v1/logs/x/retention", "/api/v1/stores"):
        assert matched(alone, "GET", path) == entered(alone, path) == {"edge-ingest"}
        assert not matched(several, "GET", path) and not entered(several, path)


def test_draining_nodes_take_no_new_requests(europe: Description) -> None:
    ends = [
        end
        for one in objects(render(europe)[NODES])
        if one["kind"] == "EndpointSlice"
        for end in one["endpoints"]
    ]
    for end in ends:
        draining = end["addresses"] == ["10.0.0.2"]
        expected = {"ready": not draining, "serving": True, "terminating": draining}
        assert end["conditions"] == expected


def test_many_logs_fit_into_many_expressions(tmp_path: Path) -> None:
    many = "".join(f'[[log]]\nname = "log-number-{n}"\nresidency = "eu"\n' for n in range(300))
    found = list(routes(divided(tmp_path, more=many)))
    assert max(len(one.expression) for one in found) <= MAX_EXPRESSION
    for route in objects(render(divided(tmp_path, more=many))[GATEWAY]):
        for rule in route["spec"].get("rules", []):
            assert len(rule["matches"]) <= MAX_MATCHES


def test_nodes_in_the_cluster_are_behind_their_services(tmp_path: Path) -> None:
    inside = node("n0", "mun-0.mun-nodes.evidence.svc:8470", "ingest", tls_name="") + node(
        "q", "mun-query.evidence.svc:8470", "query", tls_name=""
    )
    files = render(described(tmp_path, HEAD.format(place="") + inside))
    assert NODES not in files
    assert {one["metadata"]["namespace"] for text in files.values() for one in objects(text)} == {
        "evidence"
    }
    assert matched(files, "POST", "/v1/logs") == {"mun-nodes"}
    names = {
        one["spec"]["validation"]["hostname"]
        for one in objects(files[GATEWAY])
        if one["kind"] == "BackendTLSPolicy"
    }
    assert names == {"mun-nodes.evidence.svc", "mun-query.evidence.svc"}
    (policy,) = objects(files[NETWORK])
    assert policy["spec"]["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (node("a", "node-a.example.com:8470", tls_name=""), "no name in the cluster"),
        (node("a", "10.0.0.1:1", "ingest") + node("b", "10.0.0.2:2", "ingest"), "one port"),
        (
            node("a", "10.0.0.1:1", tls_name="a.example.com")
            + node("b", "10.0.0.2:1", tls_name="b.example.com"),
            "tls.nodes_name",
        ),
        (node("a", "a.b.c.svc:1") + node("b", "10.0.0.2:1"), "all are addresses"),
        (node("a", "a.b.c.svc:1") + node("b", "a.b.d.svc:1"), "several namespaces"),
    ],
)
def test_what_a_cluster_cannot_say_is_refused(nodes: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        render(described(tmp_path, HEAD.format(place="") + nodes))
