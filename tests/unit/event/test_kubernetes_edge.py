"""Real audit events about what leads traffic into a cluster, under the audit policy of deploy/."""

from __future__ import annotations

import json

import pytest

NETWORKING, GATEWAY, CORE = "networking.k8s.io/v1", "gateway.networking.k8s.io/v1", "v1"
CREATE, UPDATE, DELETE = 1, 3, 4

ACTS = [
    ("alice", "create", CREATE, NETWORKING, "ingresses", "shop", "web", 201),
    ("alice", "create", CREATE, NETWORKING, "ingressclasses", None, "nginx", 201),
    ("alice", "create", CREATE, CORE, "services", "shop", "web", 201),
    ("alice", "create", CREATE, CORE, "secrets", "shop", "tls", 201),
    ("alice", "create", CREATE, CORE, "secrets", "shop", "other", 201),
    ("alice", "create", CREATE, CORE, "configmaps", "shop", "main", 201),
    ("alice", "create", CREATE, "apps/v1", "deployments", "ingress", "controller", 201),
    ("alice", "patch", UPDATE, "apps/v1", "deployments/scale", "ingress", "controller", 200),
    ("alice", "create", CREATE, GATEWAY, "gatewayclasses", None, "edge", 201),
    ("alice", "create", CREATE, GATEWAY, "gateways", "shop", "edge", 201),
    ("alice", "create", CREATE, GATEWAY, "httproutes", "shop", "web", 201),
    ("alice", "patch", UPDATE, NETWORKING, "ingresses", "shop", "web", 200),
    ("alice", "patch", UPDATE, NETWORKING, "ingresses", "shop", "web", 409),
    ("bob", "delete", DELETE, CORE, "secrets", "shop", "tls", 403),
    ("alice", "delete", DELETE, NETWORKING, "ingresses", "shop", "web", 200),
    ("system:apiserver", "create", CREATE, "discovery.k8s.io/v1", "endpointslices", "default",
     "kubernetes", 201),
    ("admin", "patch", UPDATE, NETWORKING, "ingresses/status", "shop", "web", 200),
]  # fmt: skip


@pytest.fixture
def rows(events, sample):
    return events("kubernetes", sample("kubernetes/audit-edge.log"))


def test_who_did_what_to_which_object(rows) -> None:
    told = []
    for row in rows:
        (resource,) = row["resources"]
        told.append(
            (
                row["actor"]["user"]["name"],
                row["api"]["operation"],
                row["activity_id"],
                row["api"]["version"],
                *(resource[key] for key in ("type", "namespace", "name")),
                row["api"]["response"]["code"],
            )
        )
        assert row["class_uid"] == 6003
        assert row["parse_error"] is None
        assert row["time_dt"].year == 2026
        assert row["metadata"]["event_code"] == "ResponseComplete"
    assert told == ACTS


def test_how_and_from_where(rows) -> None:
    people = [row for row in rows if row["actor"]["user"]["name"] in ("alice", "bob")]
    assert {row["src_endpoint"]["ip"] for row in people} == {"127.0.0.1"}
    assert all(row["http_request"]["user_agent"].startswith("kubectl") for row in people)


def test_what_was_refused_says_why(rows) -> None:
    conflict, forbidden = (row for row in rows if row["status_id"] == 2)
    assert "conflict with" in conflict["status_detail"]
    assert conflict["http_request"]["url"]["query_string"].startswith("dryRun=All")
    assert "cannot delete resource" in forbidden["status_detail"]


def test_the_objects_stay_in_the_raw_event(rows, sample) -> None:
    for row, line in zip(rows, sample("kubernetes/audit-edge.log"), strict=True):
        event = json.loads(line)
        assert json.loads(row["raw_data"]) == event
        assert "requestObject" not in (row["unmapped"] or "")


def test_the_policy_of_deploy_keeps_secrets_out(sample) -> None:
    secrets = [
        event
        for event in map(json.loads, sample("kubernetes/audit-edge.log"))
        if event["objectRef"]["resource"] in ("secrets", "configmaps")
    ]
    assert len(secrets) == 4
    assert all(event.keys().isdisjoint(("requestObject", "responseObject")) for event in secrets)
