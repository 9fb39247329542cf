"""The sources `json`, `muniment` and `text`: OCSF events, the native form, anything else."""

from __future__ import annotations

import datetime
import json

import pytest

from muniment.event.verbs import classify


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def one(events, value, source="json"):
    return events(source, [json.dumps(value)])[0]


NATIVE = {
    "time": "2026-11-20T23:06:18.734001+01:00",
    "id": "e-1",
    "actor": "alice",
    "action": "certificate.update",
    "resource": "edge/www",
    "outcome": "success",
    "reason": "renewal",
    "client": "192.0.2.7:50312",
    "service": "admin-api",
    "comment": "ticket 4711",
    "request_id": "r-17",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "tenant": "blue",
    "duration_ms": 12,
}


@pytest.mark.parametrize("source", ["json", "muniment", "text", None])
def test_the_native_form(events, source) -> None:
    row = one(events, NATIVE, source)
    assert (row["class_uid"], row["activity_id"], row["type_uid"]) == (6003, 3, 600303)
    assert row["time_dt"] == at("2026-11-20T22:06:18.734001")
    assert row["actor"]["user"]["name"] == "alice"
    assert row["api"]["operation"] == "certificate.update"
    assert row["api"]["service"]["name"] == "admin-api"
    assert [resource["name"] for resource in row["resources"]] == ["edge/www"]
    assert (row["status_id"], row["status_code"]) == (1, "success")
    assert row["status_detail"] == "renewal"
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("192.0.2.7", 50312)
    assert row["http_request"]["uid"] == "r-17"
    assert row["metadata"]["correlation_uid"] == NATIVE["trace_id"]
    assert row["metadata"]["uid"] == "e-1"
    assert row["metadata"]["tenant_uid"] == "blue"
    assert row["comment"] == "ticket 4711"
    assert row["duration"] == 12
    assert row["message"] == "certificate.update"
    assert row["unmapped"] is None
    assert row["parse_error"] is None


def test_objects_for_actor_resource_and_client(events) -> None:
    row = one(
        events,
        {
            "action": "user.create",
            "actor": {"name": "bob", "id": 7, "email": "b@x.test", "groups": ["ops", {"uid": "g"}]},
            "resource": {"type": "user", "id": "u1", "name": "carol", "color": "red"},
            "client": {"ip": "2001:db8::1", "port": "443"},
            "status": "201",
            "method": "POST",
            "path": "/api/users?x=1",
            "shoe": 44,
        },
    )
    assert (row["class_uid"], row["activity_id"]) == (3004, 1)
    user = row["actor"]["user"]
    assert (user["name"], user["uid"], user["email_addr"]) == ("bob", "7", "b@x.test")
    assert [(g["name"], g["uid"]) for g in user["groups"]] == [("ops", None), (None, "g")]
    assert (row["entity"]["uid"], row["entity"]["type"]) == ("u1", "user")
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["port"]) == ("2001:db8::1", 443)
    assert row["http_response"]["code"] == 201
    assert row["http_request"]["url"]["query_string"] == "x=1"
    left = json.loads(row["unmapped"])
    assert left["shoe"] == 44
    assert left["resource"][0]["color"] == "red"


def test_log_ins_are_authentication(events) -> None:
    row = one(events, {"action": "login", "actor": "eve", "outcome": "denied"})
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (3002, 1, 2)
    assert row["user"]["name"] == "eve"


@pytest.mark.parametrize(
    ("action", "kind", "expected"),
    [
        ("certificate.update", "", (6003, 3)),
        ("DELETE", "", (6003, 4)),
        ("GET /x", "", (6003, 2)),
        ("frobnicate", "", (6003, 99)),
        ("", "", (6003, 99)),
        ("token.revoke", "", (3004, 4)),
        ("disable", "user", (3004, 9)),
        ("server.disable", "server", (6003, 3)),
        ("log-in", "", (3002, 1)),
        ("user.logout", "", (3002, 2)),
        ("sign in", "", (3002, 1)),
        ("blog.create", "", (6003, 1)),
    ],
)
def test_what_an_action_says(action, kind, expected) -> None:
    assert classify(action, kind) == expected


@pytest.mark.parametrize(
    ("client", "endpoint"),
    [
        ("10.0.0.1", ("10.0.0.1", None, None)),
        ("10.0.0.1:80", ("10.0.0.1", 80, None)),
        ("2001:db8::1", ("2001:db8::1", None, None)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80, None)),
        ("gate.example", (None, None, "gate.example")),
        ("gate.example:80", (None, 80, "gate.example")),
    ],
)
def test_clients_of_every_kind(events, client, endpoint) -> None:
    got = one(events, {"action": "x", "client": client})["src_endpoint"]
    assert (got["ip"], got["port"], got["name"]) == endpoint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1795215978, "2026-11-20T23:06:18"),
        (1795215978.5, "2026-11-20T23:06:18.500"),
        (1795215978734, "2026-11-20T23:06:18.734"),
        (1795215978734001, "2026-11-20T23:06:18.734001"),
        (1795215978734001999, "2026-11-20T23:06:18.734001"),
        ("1795215978", "2026-11-20T23:06:18"),
        ("2026-11-20T23:06:18Z", "2026-11-20T23:06:18"),
    ],
)
def test_times_in_every_unit(events, value, expected) -> None:
    row = one(events, {"action": "x", "time": value})
    assert row["time_dt"] == at(expected)
    assert row["unmapped"] is None


@pytest.mark.parametrize("value", ["yesterday", -1, True, {"a": 1}, 1e300, "9" * 40, ""])
def test_a_time_that_is_none_is_kept_and_not_used(events, value) -> None:
    row = one(events, {"action": "x", "time": value})
    assert row["time_dt"] == row["received"]
    assert json.loads(row["unmapped"]) == {"time": value}


def test_an_ocsf_event_goes_straight_into_the_columns(events, sample) -> None:
    event = json.loads(b"\n".join(sample("ocsf/ocsf_eks.json")))
    row = one(events, event)
    assert (row["class_uid"], row["activity_id"], row["type_uid"]) == (6003, 1, 600301)
    assert row["time_dt"] == at("2021-09-07T20:37:30.502680") + datetime.timedelta(
        microseconds=140174
    )
    assert row["actor"]["user"]["name"] == "system:node:ip-192-001-02-03.ec2.internal"
    assert next(g["name"] for g in row["actor"]["user"]["groups"]) == "system:bootstrappers"
    assert row["actor"]["session"]["uid"] == "i-12345678901"
    assert row["api"]["operation"] == "create"
    assert row["api"]["response"]["code"] == 201
    assert row["http_request"]["url"]["path"] == "/api/v1/nodes"
    assert row["resources"][0]["type"] == "nodes"
    assert row["src_endpoint"]["ip"] == "12.000.22.33"
    assert row["message"] == "ResponseComplete"
    left = json.loads(row["unmapped"])
    assert left["kind"] == "Event"
    assert left["cloud"] == event["cloud"]
    assert left["actor"] == {
        "session": {"credential_uid": "EXAMPLEUIDTEST"},
        "user": {"type_id": 0},
    }


def test_what_the_sender_says_about_the_receipt_is_not_believed(events) -> None:
    forged = {
        "class_uid": 6003,
        "log": "other",
        "shard": "x",
        "index": 0,
        "received": "2001-01-01T00:00:00Z",
        "sender": "root",
        "parse_error": "none",
        "raw_data": "nothing",
    }
    row = one(events, forged)
    assert (row["log"], row["shard"], row["index"]) == ("l", "s", 100)
    assert row["received"].year == 2026
    assert row["sender"] is None
    assert row["parse_error"] is None
    assert row["raw_data"] == json.dumps(forged)
    assert json.loads(row["unmapped"])["sender"] == "root"


def test_a_trace_is_found_by_its_id(events) -> None:
    row = one(events, {"class_uid": 4002, "trace": {"uid": "T1"}})
    assert row["metadata"]["correlation_uid"] == "T1"


def test_values_of_another_type_are_converted_or_kept(events) -> None:
    row = one(
        events,
        {
            "class_uid": "4002",
            "activity_id": 3.0,
            "severity_id": 2**40,
            "status_code": 200,
            "http_response": {"code": "404"},
            "src_endpoint": {"port": "https", "ip": ["a"]},
            "traffic": "much",
            "is_mfa": "true",
            "resources": {"name": "alone"},
        },
    )
    assert (row["class_uid"], row["activity_id"]) == (4002, 3)
    assert row["severity_id"] == 1
    assert row["status_code"] == "200"
    assert row["http_response"]["code"] == 404
    assert row["src_endpoint"]["port"] is None
    assert row["src_endpoint"]["ip"] == '["a"]'
    assert row["traffic"] is None
    assert row["is_mfa"] is True
    assert [r["name"] for r in row["resources"]] == ["alone"]
    left = json.loads(row["unmapped"])
    assert left == {"severity_id": 2**40, "src_endpoint": {"port": "https"}, "traffic": "much"}


def test_any_other_object_is_kept_and_is_no_error(events) -> None:
    value = {
        "msg": "hello",
        "level": "warn",
        "ts": 1795215978.5,
        "foo": {"bar": 1},
        "trace_id": "t",
    }
    row = one(events, value)
    assert row["class_uid"] == 0
    assert row["parse_error"] is None
    assert row["message"] == "hello"
    assert row["severity_id"] == 3
    assert row["time_dt"] == at("2026-11-20T23:06:18.500")
    assert row["metadata"]["correlation_uid"] == "t"
    assert json.loads(row["unmapped"]) == {"foo": {"bar": 1}}


@pytest.mark.parametrize("line", ["", "not json", "[1,2]", "5", '{"a":', '{"a":"\\ud800"}', "{}x"])
def test_what_is_no_json_object_is_an_error_only_where_one_was_promised(events, line) -> None:
    promised = events("json", [line])[0]
    assert promised["class_uid"] == 0
    assert promised["parse_error"]
    text = events("text", [line])[0]
    assert text["class_uid"] == 0
    assert text["parse_error"] is None
    assert text["message"] == line


def test_a_batch_of_all_kinds_keeps_its_order(events) -> None:
    lines = ['{"action":"a"}', "x", '{"class_uid":4001}', '{"msg":"m"}', '{"action":"b"}', "[]"]
    rows = events("json", lines)
    assert [row["raw_data"] for row in rows] == lines
    assert [row["class_uid"] for row in rows] == [6003, 0, 4001, 0, 6003, 0]
    assert [bool(row["parse_error"]) for row in rows] == [False, True, False, False, False, True]


@pytest.mark.parametrize(
    ("status", "status_id", "severity_id"), [(200, 1, 1), (404, 2, 1), (502, 2, 3)]
)
def test_without_an_outcome_the_http_status_speaks(events, status, status_id, severity_id) -> None:
    event = one(events, {"action": "GET", "resource": "/checkout", "status": status})
    assert (event["status_id"], event["severity_id"]) == (status_id, severity_id)
    told = one(events, {"action": "GET", "status": status, "outcome": "success", "severity": "low"})
    assert told["status_id"] == 1
