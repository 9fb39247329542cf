"""Kubernetes audit events as API Activity."""

from __future__ import annotations

import datetime
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.guard import run
from muniment.event.source import Context

EVENT = {
    "level": "Metadata",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "requestURI": "/apis/apps/v1/namespaces/web/deployments/shop/scale?dryRun=All",
    "verb": "patch",
    "user": {
        "username": "system:serviceaccount:ops:deployer",
        "uid": "u-1",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["ci-7"]},
    },
    "impersonatedUser": {"username": "alice", "groups": ["devs"]},
    "sourceIPs": ["203.0.113.9", "198.51.100.2", "10.0.0.5"],
    "userAgent": "kubectl/v1.34",
    "objectRef": {
        "resource": "deployments",
        "namespace": "web",
        "name": "shop",
        "uid": "o-1",
        "apiGroup": "apps",
        "apiVersion": "v1",
        "resourceVersion": "77",
        "subresource": "scale",
    },
    "responseStatus": {
        "metadata": {},
        "status": "Failure",
        "reason": "Forbidden",
        "message": "deployments.apps is forbidden",
        "details": {"kind": "deployments"},
        "code": 403,
    },
    "requestReceivedTimestamp": "2026-11-20T23:06:18.700000Z",
    "stageTimestamp": "2026-11-20T23:06:18.734001Z",
    "annotations": {"authorization.k8s.io/decision": "forbid"},
}


def one(events, value):
    return events("kubernetes", [json.dumps(value)])[0]


def test_the_sample(events, sample) -> None:
    (line,) = sample("kubernetes/audit-priv-pod.log")
    (row,) = events("kubernetes", [line])
    assert (row["class_uid"], row["activity_id"], row["type_uid"]) == (6003, 1, 600301)
    assert row["time_dt"].isoformat() == "2023-05-17T13:59:57.759439+00:00"
    assert row["duration"] == 3
    assert row["actor"]["user"]["name"] == "minikube-user"
    assert row["resources"] == [
        {"name": "test-pod-1", "namespace": "foo", "type": "pods", "uid": None, "version": None}
    ]
    assert (row["status_id"], row["status_code"]) == (1, "201")
    assert row["api"]["version"] == "v1"
    assert row["metadata"]["log_level"] == "RequestResponse"
    assert row["metadata"]["product"]["version"] == "audit.k8s.io/v1"
    assert row["parse_error"] is None
    assert "requestObject" not in row["unmapped"]
    assert len(row["unmapped"]) < 300


def test_every_field_has_its_column(events) -> None:
    row = one(events, EVENT)
    assert (row["class_uid"], row["activity_id"]) == (6003, 3)
    metadata = row["metadata"]
    assert (metadata["uid"], metadata["correlation_uid"]) == ("a-1/ResponseComplete", "a-1")
    assert (metadata["event_code"], metadata["log_name"]) == ("ResponseComplete", "audit")
    user = row["actor"]["user"]
    assert (user["name"], user["uid"]) == (EVENT["user"]["username"], "u-1")
    assert [group["name"] for group in user["groups"]] == EVENT["user"]["groups"]
    assert row["user"]["name"] == "alice"
    assert [group["name"] for group in row["user"]["groups"]] == ["devs"]
    assert row["src_endpoint"]["ip"] == "10.0.0.5"
    request = row["http_request"]
    assert request["x_forwarded_for"] == ["203.0.113.9", "198.51.100.2"]
    assert (request["uid"], request["user_agent"]) == ("a-1", "kubectl/v1.34")
    assert request["url"]["query_string"] == "dryRun=All"
    assert row["resources"] == [
        {
            "name": "shop",
            "namespace": "web",
            "type": "deployments/scale",
            "uid": "o-1",
            "version": "77",
        }
    ]
    assert (row["api"]["operation"], row["api"]["version"]) == ("patch", "apps/v1")
    assert row["api"]["request"]["uid"] == "a-1"
    assert row["api"]["response"] == {
        "code": 403,
        "error": "Forbidden",
        "error_message": "deployments.apps is forbidden",
        "message": "Failure",
    }
    assert (row["status_id"], row["status_code"]) == (2, "403")
    assert row["status_detail"] == "deployments.apps is forbidden"
    assert row["http_response"]["code"] == 403
    assert row["duration"] == 34
    assert row["message"] == f"patch {EVENT['requestURI']}"
    assert json.loads(row["unmapped"]) == {
        "user": {"extra": EVENT["user"]["extra"]},
        "responseStatus": {"details": {"kind": "deployments"}},
        "requestReceivedTimestamp": EVENT["requestReceivedTimestamp"],
        "annotations": EVENT["annotations"],
    }


def test_a_request_that_has_only_just_come(events) -> None:
    row = one(events, {"auditID": "a", "stage": "RequestReceived", "verb": "get"})
    assert row["metadata"]["uid"] == "a/RequestReceived"
    assert (row["status_id"], row["activity_id"]) == (0, 2)
    assert (row["resources"], row["duration"]) == (None, None)
    assert row["time_dt"] == row["received"]
    assert row["unmapped"] is None
    assert row["parse_error"] is None


@pytest.mark.parametrize(
    ("verb", "activity"),
    [
        *(("create", 1), ("post", 1), ("list", 2), ("watch", 2), ("update", 3), ("delete", 4)),
        *(("deletecollection", 4), ("proxy", 99), ("", 99), (None, 0)),
    ],
)
def test_verbs(events, verb, activity) -> None:
    assert one(events, {"auditID": "a", "verb": verb})["activity_id"] == activity


@pytest.mark.parametrize(("code", "status", "severity"), [(200, 1, 1), (409, 2, 1), (500, 2, 3)])
def test_outcomes(events, code, status, severity) -> None:
    row = one(events, {"auditID": "a", "responseStatus": {"code": code}})
    assert (row["status_id"], row["severity_id"]) == (status, severity)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "auditID"),
        ('{"auditID":1}', "auditID"),
        ("[]", "object"),
        ("x", "JSON"),
        ("", "JSON"),
    ],
)
def test_what_is_no_audit_event_says_so(events, line, says) -> None:
    row = events("kubernetes", [line])[0]
    assert row["class_uid"] == 0
    assert says in row["parse_error"]


@pytest.mark.parametrize(
    "bulk",
    [r'"\ud800"', "[" * 2_000 + "]" * 2_000, r'{"a":"\q"}', '{"cut":"here'],
    ids=["surrogate", "depth", "escape", "cut"],
)
def test_who_did_what_is_read_whatever_the_objects_hold(events, bulk) -> None:
    """The members stand in this order in what the API server sends."""
    line = json.dumps(EVENT)[:-1].replace('"requestReceivedTimestamp"', f'"requestObject":{bulk}')
    row = events("kubernetes", [line])[0]
    assert row["class_uid"] == 6003
    assert "JSON" in row["parse_error"]
    assert row["metadata"]["uid"] == "a-1/ResponseComplete"
    assert row["actor"]["user"]["name"] == EVENT["user"]["username"]
    assert row["resources"][0]["name"] == "shop"


@pytest.mark.parametrize(
    "more",
    [
        {"user": "bob", "objectRef": [1], "responseStatus": 5, "sourceIPs": "::1"},
        {"user": {"groups": "g", "username": 5}, "responseStatus": {"code": "x"}},
        {"sourceIPs": [], "stageTimestamp": "never", "annotations": 3, "verb": {"a": 1}},
        {"sourceIPs": [[1], {"a": 2}], "objectRef": {"subresource": "log", "apiGroup": 7}},
        {"user": {"groups": [1, {"name": "g"}, None]}, "level": ["x"], "stage": 5},
    ],
)
def test_values_of_another_type_are_converted_or_kept(events, more) -> None:
    row = one(events, {**EVENT, **more})
    assert row["class_uid"] == 6003
    assert row["parse_error"] is None
    assert row["metadata"]["correlation_uid"] == "a-1"


def test_a_batch_of_all_kinds_keeps_its_order(events) -> None:
    lines = [json.dumps({"auditID": f"a{n}", "verb": "get"}) for n in range(5)]
    lines[1], lines[3] = "no", "{}"
    rows = events("kubernetes", lines)
    assert [row["raw_data"] for row in rows] == lines
    assert [row["class_uid"] for row in rows] == [6003, 0, 6003, 0, 6003]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
inside = st.sampled_from(
    [
        *("username", "groups", "uid", "extra", "code", "reason", "message", "resource", "name"),
        *("apiGroup", "apiVersion", "subresource", "resourceVersion", "namespace"),
    ]
)


@pytest.mark.fuzz
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(EVENT)), values | st.dictionaries(inside, values), max_size=6
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_values_are_read(many) -> None:
    lines = [json.dumps({**event, "auditID": "a"}, allow_nan=True) for event in many]
    frame = parsed(lines)
    assert frame.height == len(lines)
    errors = frame["parse_error"].drop_nulls().to_list()
    assert not [error for error in errors if "parser failed" in error], lines


@pytest.mark.fuzz
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(0, 1_000))
def test_any_text_is_read(texts, cut) -> None:
    whole = json.dumps(EVENT)
    lines = [*texts, whole[: cut % len(whole)], whole[: cut % len(whole)] + texts[0]]
    frame = parsed(lines)
    assert not frame["parse_error"].drop_nulls().str.contains("parser failed").any(), lines


def parsed(lines: list[str]) -> pl.DataFrame:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    received = pl.Series([now] * len(lines), dtype=pl.Datetime("us", "UTC"))
    return run("kubernetes", pl.Series(lines, dtype=pl.String), Context(received))
