"""The source `aws-elb`, on samples, on what AWS documents, and on hostile lines."""

from __future__ import annotations

import datetime
import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.aws import looks_like
from muniment.event.guard import run
from muniment.event.source import Context

GROUP = (
    "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067"
)
HTTP = (
    "http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 "
    '10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/a?b=c HTTP/1.1" '
    f'"curl/7.46.0" - - {GROUP} "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" '
    '0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
)
CONNECTION = (
    "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 {} "
    '"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" '
    "NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 {} "
    "TID_3180a73013c8ca4bac2f731159d4b0fe"
)
NLB = (
    "tls 2.0 2018-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd "
    "72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - "
    "arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - "
    "ECDHE-RSA-AES128-SHA tlsv12 - "
    "my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com"
)
CLASSIC = "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 "


@pytest.fixture
def one(events):
    def decoded(line):
        (row,) = events("aws-elb", [line])
        return row

    return decoded


def at(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("alb_al_valid_logs.log", 2),
        ("nlb_al_valid_logs.log", 1),
        ("clb_al_valid_logs.log", 2),
        ("catalog_raw.log", 63),
    ],
)
def test_every_line_of_the_samples_is_read(events, sample, name, lines) -> None:
    rows = events("aws-elb", sample(f"aws/{name}"))
    assert len(rows) == lines
    assert [row["parse_error"] for row in rows] == [None] * lines
    assert {row["class_uid"] for row in rows} <= {4001, 4002}


def test_an_alb_request_has_every_field_in_its_column(events, sample) -> None:
    first, second = events("aws-alb", sample("aws/alb_al_valid_logs.log"))
    assert (first["class_uid"], first["activity_id"], first["status_id"]) == (4002, 3, 1)
    assert first["time_dt"] == at("2018-07-02T22:23:00.186641")
    assert first["src_endpoint"]["ip"] == "192.168.131.39"
    assert first["src_endpoint"]["port"] == 2817
    request = first["http_request"]
    assert request["http_method"] == "GET"
    assert request["version"] == "1.1"
    assert request["user_agent"] == "curl/7.46.0"
    assert request["url"]["scheme"] == "https"
    assert (request["url"]["hostname"], request["url"]["port"]) == ("www.example.com", 443)
    assert first["http_response"]["code"] == 200
    assert first["tls"] | {"certificate": None} == {
        "version": "TLSv1.2",
        "cipher": "ECDHE-RSA-AES128-GCM-SHA256",
        "sni": "www.example.com",
        "alert": None,
        "certificate": None,
    }
    assert first["traffic"] == {"bytes": None, "bytes_in": 57, "bytes_out": 0}
    balancer = first["load_balancer"]
    assert balancer["name"] == "app/my-loadbalancer/50dc6c495c0c9188"
    assert balancer["code"] == 200
    assert balancer["status_detail"] == "authenticate,forward"
    assert balancer["dst_endpoint"]["svc_name"] == "my-targets"
    assert (balancer["dst_endpoint"]["ip"], balancer["dst_endpoint"]["port"]) == ("10.0.0.1", 80)
    assert [tried["code"] for tried in balancer["endpoint_connections"]] == [200]
    assert first["timings"]["request"] == 86
    assert first["timings"]["upstream"] == 48
    assert first["timings"]["response"] == 37
    assert first["duration"] == 171
    assert first["metadata"]["correlation_uid"] == "1-58337281-1d84f3d73c47ec4e58577259"
    assert first["connection_info"]["uid"] == "TID_1234abcd5678ef90"
    rest = json.loads(first["unmapped"])
    assert rest["chosen_cert_arn"].startswith("arn:aws:acm:")
    assert rest["matched_rule_priority"] == 1
    assert rest["request_creation_time"] == "2018-07-02T22:22:48.364000Z"
    assert second["src_endpoint"]["ip"] == "fe80::202:b3ff:fe1e:8329"
    assert second["load_balancer"]["dst_endpoint"]["ip"] == "2001:db8::1"


def test_a_classification_and_tried_targets(one) -> None:
    line = HTTP.replace('"10.0.0.1:80" "200" "-" "-"', "").rstrip()
    row = one(f'{line} "10.0.0.1:80 [2001:db8::2]:80" "502 200" "Ambiguous" "SpaceInUri"')
    balancer = row["load_balancer"]
    assert balancer["classification"] == "Ambiguous"
    assert json.loads(row["unmapped"])["classification_reason"] == "SpaceInUri"
    tried = balancer["endpoint_connections"]
    assert [one["code"] for one in tried] == [502, 200]
    assert [one["network_endpoint"]["ip"] for one in tried] == ["10.0.0.1", "2001:db8::2"]


@pytest.mark.parametrize(
    ("end", "members"),
    [
        (" TID_1 ", {}),
        (' TID_1 "t.example" "/x" "TransformSuccess"', {"transformed_host": "t.example"}),
        (' TID_1 "-" "-" "-" 100.51.96.60 "-" "-"', {"trailing": '100.51.96.60 "-" "-"'}),
        (" TID_1 new-field", {"trailing": "new-field"}),
    ],
)
def test_fields_that_were_added_at_the_end(one, end, members) -> None:
    row = one((HTTP + end).rstrip())
    assert (row["class_uid"], row["parse_error"]) == (4002, None)
    assert row["connection_info"]["uid"] == "TID_1"
    assert members.items() <= json.loads(row["unmapped"]).items()


def test_the_node_of_the_balancer(one) -> None:
    row = one(HTTP + ' TID_1 "-" "-" "-" 100.51.96.60 "-" "-"')
    assert row["load_balancer"]["ip"] == "100.51.96.60"


# Where lines ended in 2016 (trace id), 2017 (certificate), 2018 (actions, redirect), 2019 (error).
@pytest.mark.parametrize("fields", [17, 18, 20, 23, 24, 25, 27, 29])
def test_older_lines_end_earlier(one, fields) -> None:
    tokens = re.findall(r'"[^"]*"|[^ ]+', HTTP)
    row = one(" ".join(tokens[:fields]))
    assert (row["class_uid"], row["parse_error"]) == (4002, None)
    assert row["http_response"]["code"] == 200


def test_target_lists_once_had_no_quotes(one) -> None:
    row = one(HTTP.replace('"10.0.0.1:80" "200"', "10.0.0.1:80 200"))
    assert row["parse_error"] is None
    assert row["load_balancer"]["endpoint_connections"][0]["code"] == 200


def test_a_request_that_was_refused_before_it_was_read(one) -> None:
    row = one(
        "http 2025-03-01T10:03:17.218099Z app/MyALB1/240dbdc5244653c9 205.210.31.158:61084 - "
        '-1 -1 -1 400 - 0 272 "- http://myalb1-1.us-east-1.elb.amazonaws.com:80- -" "-" - - - '
        '"-" "-" "-" - 2025-03-01T10:03:16.682000Z "-" "-" "-" "-" "-" "-" "-" TID_6cfb'
    )
    assert (row["class_uid"], row["status_id"], row["parse_error"]) == (4002, 2, None)
    assert row["http_response"]["code"] == 400
    assert row["load_balancer"]["code"] is None
    assert row["load_balancer"]["dst_endpoint"] is None
    assert row["duration"] is None
    assert row["timings"] is None
    assert row["http_request"]["http_method"] is None
    assert row["http_request"]["user_agent"] is None
    assert row["metadata"]["correlation_uid"] is None


@pytest.mark.parametrize("kind", ["h2", "grpcs", "ws", "wss", "https"])
def test_other_kinds_of_requests(one, kind) -> None:
    row = one(HTTP.replace("http 2018", f"{kind} 2018", 1))
    assert (row["class_uid"], row["parse_error"]) == (4002, None)
    assert json.loads(row["unmapped"])["type"] == kind


def test_quotes_of_a_user_agent_are_undone(one) -> None:
    assert one(HTTP.replace("curl/7.46.0", r"\x22a\x22"))["http_request"]["user_agent"] == '"a"'


def test_a_user_agent_cannot_pose_as_the_fields_behind_it(one) -> None:
    agent = 'x" - - arn:aws:fake "Root=1-fake" "evil.example" "-" 0 2001-01-01T00:00:00Z "forward'
    row = one(HTTP.replace("curl/7.46.0", agent))
    assert row["parse_error"] is None
    assert row["http_request"]["user_agent"] == agent
    assert row["metadata"]["correlation_uid"] == "1-58337262-36d228ad5d99923122bbe354"
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == "my-targets"


def test_a_trace_header_with_more_than_a_root(one) -> None:
    row = one(HTTP.replace("Root=1-58337262", "Self=1-67;Root=1-58337262"))
    assert row["metadata"]["correlation_uid"] == "1-58337262-36d228ad5d99923122bbe354"
    assert json.loads(row["unmapped"])["trace"].startswith("Self=1-67;")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (HTTP.replace(" 200 200 ", " OK 200 "), "elb_status_code, is 'OK'"),
        (HTTP.partition('"GET')[0].rstrip(), "the line ends before field 13 of an ALB's"),
        (HTTP.replace("0 2018-07-02", "0 yesterday"), "request_creation_time, is 'yesterday"),
        ("nothing of the kind", "no log of Elastic Load Balancing"),
        (NLB.replace(" 246 ", " many "), "sent_bytes, is 'many'"),
        (CLASSIC + "0 0 0 200 200 0 57", "field 12 of a Classic Load Balancer's"),
    ],
)
def test_a_malformed_line_says_what_is_wrong(one, line, why) -> None:
    row = one(line)
    assert row["class_uid"] == 0
    assert why in row["parse_error"]
    assert row["raw_data"] == line


def test_an_nlb_connection(one) -> None:
    row = one(NLB + ' h2 h2 "h2","http/1.1" 2018-12-20T02:59:30 later')
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (4001, 2, 1)
    assert row["time_dt"] == at("2018-12-20T02:59:40")
    assert row["duration"] == 5
    assert row["timings"]["handshake"] == 2
    assert row["traffic"] == {"bytes": None, "bytes_in": 246, "bytes_out": 98}
    assert row["load_balancer"]["name"] == "net/my-network-loadbalancer/c6e77e28c25b2234"
    assert row["load_balancer"]["dst_endpoint"]["port"] == 443
    assert row["tls"]["version"] == "tlsv12"
    assert row["tls"]["sni"].startswith("my-network-loadbalancer-")
    assert row["http_request"] is None
    rest = json.loads(row["unmapped"])
    assert rest["alpn_client_preference_list"] == "h2,http/1.1"
    assert rest["tls_connection_creation_time"] == "2018-12-20T02:59:30"
    assert rest["trailing"] == "later"


@pytest.mark.parametrize("end", ["", " - - -", " - - - 2018-12-20T02:59:30"])
def test_an_nlb_line_of_any_age(one, end) -> None:
    row = one(NLB + end)
    assert (row["class_uid"], row["parse_error"]) == (4001, None)


def test_an_nlb_handshake_that_failed(one) -> None:
    row = one(NLB.replace(" 5 2 98 246 - ", " - - 98 0 40 ") + " - - - 2018-12-20T02:59:30")
    assert (row["activity_id"], row["status_id"]) == (4, 2)
    assert row["tls"]["alert"] == 40
    assert row["duration"] is None


@pytest.mark.parametrize(
    ("end", "class_uid", "cipher"),
    [
        ('0.000073 0.001048 0.000057 200 200 0 29 "GET http://e:80/ HTTP/1.1" "c" - -', 4002, None),
        ('0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -', 4001, None),
        ('0.001065 0.000015 0.000023 - - 57 502 "- - - " "-" ECDHE-A TLSv1.2', 4001, "ECDHE-A"),
        ('0.000073 0.001048 0.000057 200 200 0 29 "GET http://e:80/ HTTP/1.1"', 4002, None),
    ],
)
def test_classic_listeners(one, end, class_uid, cipher) -> None:
    row = one(CLASSIC + end)
    assert (row["class_uid"], row["parse_error"]) == (class_uid, None)
    assert row["load_balancer"]["name"] == "my-loadbalancer"
    assert (row["tls"] or {}).get("cipher") == cipher
    assert row["duration"] in (1, 2)


def test_connections_and_how_certificates_of_clients_were_found(one) -> None:
    good, bad = (
        one(CONNECTION.format("4.036", "Success")),
        one(CONNECTION.format("-", "Failed:ClientCertUntrusted")),
    )
    assert (good["class_uid"], good["activity_id"], good["status_id"]) == (4001, 1, 1)
    assert good["connection_info"]["uid"] == "TID_3180a73013c8ca4bac2f731159d4b0fe"
    assert good["timings"]["handshake"] == 4
    assert good["dst_endpoint"]["port"] == 443
    assert good["tls"]["certificate"]["serial_number"] == "FEF257372D5C14D4"
    assert good["tls"]["certificate"]["subject"].startswith("CN=amazondomains.com")
    assert good["metadata"]["log_name"] == "connection"
    assert (bad["activity_id"], bad["status_id"]) == (4, 2)
    assert bad["status_detail"] == "ClientCertUntrusted"


def test_a_connection_to_a_listener_without_tls(one) -> None:
    row = one('2023-10-04T17:05:15.514108Z 2001:db8::7 36280 80 - - - "-" - - - TID_1')
    assert (row["class_uid"], row["status_id"], row["parse_error"]) == (4001, 0, None)
    assert row["src_endpoint"]["ip"] == "2001:db8::7"
    assert row["tls"] is None


@pytest.mark.parametrize(
    ("line", "status", "target"),
    [
        ("http 2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 G PASS 200 -", 1, 80),
        (
            "http 2025-10-31T12:44:58.901409Z 1.121980746 172.31.31.9:81 G FAIL 502 TargetError "
            "app/a/1 10.0.0.9",
            2,
            81,
        ),
    ],
)
def test_health_checks(one, line, status, target) -> None:
    row = one(line)
    assert (row["class_uid"], row["status_id"], row["parse_error"]) == (4001, status, None)
    assert row["load_balancer"]["dst_endpoint"]["port"] == target
    assert row["load_balancer"]["dst_endpoint"]["svc_name"] == "G"
    assert row["status_detail"] == (None if status == 1 else "TargetError")
    assert row["metadata"]["log_name"] == "health"
    assert row["http_response"] is None


def test_a_lambda_that_was_checked(one) -> None:
    arn = "arn:aws:lambda:us-east-2:1:function:f"
    row = one(f"lambda 2025-10-31T12:44:59.875678Z 0.1 {arn} G PASS 200 -")
    assert row["load_balancer"]["dst_endpoint"]["name"] == arn


def test_the_test_file_of_a_bucket_is_no_fault(one) -> None:
    assert one("Enable AWSLogs for ELB: a at 2025-03-01T10:05:00.000Z")["parse_error"] is None


def test_lines_of_all_kinds_beside_each_other(events) -> None:
    lines = [HTTP, NLB, CLASSIC, CONNECTION.format("4.036", "Success"), "?", HTTP]
    rows = events("aws-elb", lines)
    assert [row["class_uid"] for row in rows] == [4002, 4001, 0, 4001, 0, 4002]
    assert [row["raw_data"] for row in rows] == lines


def test_what_can_only_be_a_load_balancers() -> None:
    lines = pl.Series([HTTP, NLB, CLASSIC, "2023-10-04T17:05:15Z a b", "tls 2.0 x"])
    assert looks_like(lines).to_list() == [True, True, False, False, False]


mutated = st.sampled_from([HTTP, NLB, CLASSIC + '0 0 0 1 1 0 0 "a" "b" - -', CONNECTION]).flatmap(
    lambda line: st.tuples(
        st.just(line), st.integers(0, len(line)), st.integers(0, 12), st.text(max_size=12)
    )
)


@pytest.mark.fuzz
@given(st.lists(mutated | st.text(max_size=200).map(lambda t: (t, 0, 0, "")), max_size=12))
def test_no_line_is_lost_whatever_it_holds(cases) -> None:
    lines = pl.Series([t[:i] + s + t[i + n :] for t, i, n, s in cases], dtype=pl.String)
    received = pl.Series([None] * len(lines), dtype=pl.Datetime("us", "UTC"))
    frame = run("aws-elb", lines, Context(received))
    assert frame.height == len(lines)
    errors = frame["parse_error"] if "parse_error" in frame.columns else []
    assert not [e for e in errors if e and "parser failed" in e]
