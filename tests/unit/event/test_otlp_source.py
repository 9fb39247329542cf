"""The source `otlp`: what a log record says, in JSON and in Protobuf."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

COMBINED = '10.0.0.1 - - [20/Nov/2026:23:08:16 +0000] "GET /a HTTP/1.1" 502 5 "-" "-"'
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
NANOS = 1544712660300000001


def value(given: Any) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(one) for one in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": pairs(given)}}
    return {"stringValue": given}


def pairs(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in given.items()]


def request(record: dict[str, Any], **resource: Any) -> dict[str, Any]:
    scope = {"scope": {"name": "lib", "version": "1"}, "logRecords": [record]}
    return {"resourceLogs": [{"resource": {"attributes": pairs(resource)}, "scopeLogs": [scope]}]}


def in_protobuf(given: dict[str, Any]) -> bytes:
    """Protobuf's own JSON has ids in base64."""
    text = json.loads(json.dumps(given))
    record = text["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    for name in ("traceId", "spanId"):
        if name in record:
            record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    message = json_format.ParseDict(text, ExportLogsServiceRequest())
    return bytes(message.SerializeToString())


@pytest.fixture(params=["json", "protobuf"])
def otlp(request, events):
    """Decodes a request in one of the two encodings."""
    encode = in_protobuf if request.param == "protobuf" else lambda g: json.dumps(g).encode()
    return lambda given, source="otlp": events(source, [encode(given)])[0]


def test_a_line_is_read_by_its_parser_and_gets_what_the_record_knows(otlp) -> None:
    record = {
        "timeUnixNano": str(NANOS),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": value(COMBINED),
        "attributes": pairs({"log.file.name": "access.log"}),
        "traceId": TRACE,
        "spanId": SPAN,
    }
    row = otlp(request(record, **{"service.name": "front", "host.name": "lb1"}))
    assert row["parse_error"] is None
    assert (row["class_uid"], row["http_response"]["code"]) == (4002, 502)
    assert row["metadata"]["product"]["name"] == "NGINX"
    assert row["metadata"]["correlation_uid"] == TRACE
    assert row["metadata"]["log_level"] == "INFO"
    assert row["severity_id"] == 3
    assert row["device"]["hostname"] == "lb1"
    assert row["time_dt"] == datetime.datetime(2026, 11, 20, 23, 8, 16, tzinfo=datetime.UTC)
    assert json.loads(row["unmapped"]) == {
        "resource": {"service.name": "front", "host.name": "lb1"},
        "scope": {"name": "lib", "version": "1"},
        "spanId": SPAN,
        "attributes": {"log.file.name": "access.log"},
    }
    assert json.loads(row["raw_data"])["resourceLogs"][0]["scopeLogs"][0]["logRecords"] == [record]


def test_a_line_of_no_source_is_a_message(otlp) -> None:
    record = {
        "observedTimeUnixNano": str(NANOS),
        "severityNumber": 17,
        "body": value("it broke"),
        "eventName": "breakage",
    }
    row = otlp(request(record, **{"service.name": "checkout", "k8s.node.name": "n1"}))
    assert (row["class_uid"], row["message"], row["severity_id"]) == (0, "it broke", 4)
    assert row["metadata"]["event_code"] == "breakage"
    assert row["metadata"]["product"]["name"] == "checkout"
    assert row["device"]["hostname"] == "n1"
    assert row["time"] == NANOS // 1_000_000


def test_the_service_may_name_the_parser(otlp) -> None:
    row = otlp(request({"body": value(COMBINED)}, **{"service.name": "haproxy"}))
    assert row["metadata"]["product"]["name"] == "HAProxy"
    row = otlp(request({"body": value(COMBINED)}, **{"service.name": "haproxy"}), "otlp/nginx")
    assert row["metadata"]["product"]["name"] == "NGINX"
    assert row["source"] == "otlp/nginx"


def test_an_object_is_read_as_one(otlp) -> None:
    body = {"action": "user.create", "actor": "eve", "n": 7, "list": [1, "a", True, 1.5]}
    row = otlp(request({"body": value(body)}))
    assert (row["class_uid"], row["actor"]["user"]["name"]) == (3004, "eve")
    assert json.loads(row["unmapped"])["list"] == [1, "a", True, 1.5]


@pytest.mark.parametrize(
    "names",
    [
        ("http.request.method", "http.response.status_code", "client.address", "server.address"),
        ("http.method", "http.status_code", "http.client_ip", "net.host.name"),
    ],
)
def test_attributes_of_http_make_it_http_activity(otlp, names) -> None:
    method, status, client, server = names
    attributes = {
        method: "GET",
        status: 503,
        client: "192.0.2.7",
        "client.port": 50312,
        server: "www.example.org",
        "url.path": "/a",
        "url.query": "b=c",
        "url.scheme": "https",
        "user_agent.original": "curl",
        "network.protocol.version": "2",
        "http.response.body.size": 17,
        "other": "x",
    }
    record = {"attributes": pairs(attributes), "severityNumber": 9, "timeUnixNano": str(NANOS)}
    row = otlp(request(record))
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4002, 3, 2)
    assert (row["severity_id"], row["status_code"]) == (3, "503")
    assert row["message"] == "GET /a?b=c"
    assert row["src_endpoint"]["ip"] == "192.0.2.7"
    assert row["src_endpoint"]["port"] == 50312
    url = row["http_request"]["url"]
    assert (url["hostname"], url["path"], url["query_string"]) == ("www.example.org", "/a", "b=c")
    assert (url["scheme"], row["http_request"]["version"]) == ("https", "2")
    assert row["http_response"]["body_length"] == 17
    assert json.loads(row["unmapped"])["attributes"] == {"other": "x"}


def test_traefiks_own_names_make_it_http_activity(otlp) -> None:
    attributes = {
        "RequestMethod": "POST",
        "DownstreamStatus": 201,
        "ClientHost": "2001:db8::1",
        "ClientPort": "39496",
        "RequestHost": "test.localhost",
        "RequestPath": "/x?y=z",
        "RequestProtocol": "HTTP/1.1",
        "RequestPort": "-",
        "Duration": 357313000,
        "entryPointName": "web",
        "ServiceName": "test@docker",
        "ServiceAddr": "172.17.0.3:80",
        "OriginStatus": 200,
    }
    row = otlp(request({"attributes": pairs(attributes)}, **{"service.name": "traefik"}))
    assert (row["class_uid"], row["activity_id"], row["duration"]) == (4002, 6, 357)
    assert row["src_endpoint"]["ip"] == "2001:db8::1"
    assert row["http_request"]["url"]["query_string"] == "y=z"
    assert row["load_balancer"]["name"] == "web"
    assert row["load_balancer"]["code"] == 200
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == "test@docker"
    assert row["metadata"]["product"]["name"] == "traefik"


def test_attributes_of_the_wrong_kind_stay_where_they_are(otlp) -> None:
    attributes = {"http.request.method": "GET", "client.port": 2**40, "url.path": {"a": 1}}
    row = otlp(request({"attributes": pairs(attributes)}))
    assert row["class_uid"] == 4002
    assert json.loads(row["unmapped"])["attributes"] == {
        "client.port": 2**40,
        "url.path": {"a": 1},
    }


def test_the_samples_of_the_specification(events) -> None:
    record = {
        "timeUnixNano": "1544712660300000000",
        "severityNumber": 10,
        "severityText": "Information",
        "traceId": TRACE.upper(),
        "spanId": SPAN.upper(),
        "body": {"stringValue": "Example log record"},
        "attributes": pairs({"map": {"some.map.key": "some value"}, "array": ["many", "values"]}),
    }
    row = events("otlp", [json.dumps(request(record))])[0]
    assert row["metadata"]["correlation_uid"] == TRACE
    assert json.loads(row["unmapped"])["attributes"] == {
        "map": {"some.map.key": "some value"},
        "array": ["many", "values"],
    }


def test_names_with_underscores_are_read_too(events) -> None:
    given = {
        "resource_logs": [
            {"scope_logs": [{"log_records": [{"body": {"string_value": "x"}, "trace_id": TRACE}]}]}
        ]
    }
    row = events("otlp", [json.dumps(given)])[0]
    assert (row["message"], row["metadata"]["correlation_uid"]) == ("x", TRACE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'a\xff"', "a\\xff"),
        (rb'\ud83d!"', r"\ud83d!"),
        (rb'\ud83d\ude00"', "\U0001f600"),
        (rb'\\ud83d \u00e9"', r"\ud83d é"),
        (b'\xff\\\\"', "\\xff\\"),
        (rb'\u0000"', "\0"),
    ],
)
def test_text_that_is_none_costs_no_field(events, text: bytes, message: str) -> None:
    raw = json.dumps(request({"body": {"stringValue": "BODY"}, "traceId": TRACE})).encode()
    row = events("otlp", [raw.replace(b'BODY"', text)])[0]
    assert row["parse_error"] is None
    assert row["message"] == message
    assert row["metadata"]["correlation_uid"] == TRACE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b"\xff",
        b"text",
        b'{"resourceLogs":[]}',
        b'{"resourceLogs":[1]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[]}]}]}',
        b'{"resourceLogs":{"a":1}}',
    ],
)
def test_what_is_no_record_says_so(events, raw: bytes) -> None:
    row = events("otlp", [raw])[0]
    assert row["class_uid"] == 0
    assert "OTLP" in row["parse_error"]
    assert row["raw_data"] == raw.decode("utf-8", "backslashreplace")


def test_more_than_one_record_is_not_overlooked(events) -> None:
    given = request({"body": value("one")})
    given["resourceLogs"][0]["scopeLogs"][0]["logRecords"].append({"body": value("two")})
    row = events("otlp", [json.dumps(given)])[0]
    assert row["message"] == "one"
    assert "first of 2" in row["parse_error"]


@pytest.mark.parametrize("member", [1, "x", None, [], {}, [[]], {"a": "b"}, True])
@pytest.mark.parametrize(
    "name", ["body", "attributes", "timeUnixNano", "severityNumber", "severityText", "traceId"]
)
def test_members_of_any_kind_are_no_harm(events, name: str, member: object) -> None:
    row = events("otlp", [json.dumps(request({name: member, "x": 1}))])[0]
    assert row["parse_error"] is None
