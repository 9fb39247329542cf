"""CloudTrail records as API Activity and Authentication."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.guard import run
from muniment.event.source import Context

ELB = "arn:aws:elasticloadbalancing:eu-central-1:111122223333"
LISTENER = f"{ELB}:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
GROUP = f"{ELB}:targetgroup/green/73e2d6bc24d8a067"
EVENT = {
    "eventVersion": "1.11",
    "userIdentity": {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:alice@example.com",
        "arn": "arn:aws:sts::111122223333:assumed-role/Deployer/alice@example.com",
        "accountId": "111122223333",
        "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLE",
                "arn": "arn:aws:iam::111122223333:role/Deployer",
                "accountId": "111122223333",
                "userName": "Deployer",
            },
            "attributes": {"creationDate": "2026-11-21T09:00:00Z", "mfaAuthenticated": "true"},
        },
    },
    "eventTime": "2026-11-21T10:00:05Z",
    "eventSource": "elasticloadbalancing.amazonaws.com",
    "eventName": "ModifyListener",
    "awsRegion": "eu-central-1",
    "sourceIPAddress": "203.0.113.9",
    "userAgent": "aws-cli/2.15",
    "requestParameters": {
        "listenerArn": LISTENER,
        "defaultActions": [{"type": "forward", "targetGroupArn": GROUP}],
    },
    "responseElements": {"listeners": [{"listenerArn": LISTENER}]},
    "requestID": "r-1",
    "eventID": "e-1",
    "readOnly": False,
    "eventType": "AwsApiCall",
    "apiVersion": "2015-12-01",
    "managementEvent": True,
    "recipientAccountId": "111122223333",
    "eventCategory": "Management",
    "sharedEventID": "s-1",
    "tlsDetails": {
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
        "clientProvidedHostHeader": "elasticloadbalancing.eu-central-1.amazonaws.com",
    },
}


@pytest.fixture
def one(events):
    return lambda value: events("cloudtrail", [json.dumps(value)])[0]


def test_the_samples(events, sample) -> None:
    text = b"\n".join(sample("aws/samples.json"))
    lines = [json.dumps(document["aws"]["cloudtrail"]) for document in json.loads(text)]
    lines.append(b"\n".join(sample("aws/raw-sample.json")))
    rows = events("cloudtrail", lines)
    assert len(rows) > 40
    for row in rows:
        assert (row["class_uid"], row["parse_error"]) == (6003, None)
        for place in ("operation", "service"):
            assert row["api"][place]
        assert row["actor"]["user"]["name"]
        assert row["time_dt"] and row["metadata"]["uid"]


def test_every_field_has_its_column(one) -> None:
    row = one(EVENT)
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (6003, 3, 1)
    assert row["time_dt"].isoformat() == "2026-11-21T10:00:05+00:00"
    user = row["actor"]["user"]
    assert user["name"] == "Deployer/alice@example.com"
    assert user["uid"] == EVENT["userIdentity"]["arn"]
    assert (user["type"], user["domain"]) == ("AssumedRole", "111122223333")
    assert row["actor"]["session"]["issuer"] == "arn:aws:iam::111122223333:role/Deployer"
    assert row["actor"]["session"]["uid"] == "ASIAEXAMPLE"
    assert row["is_mfa"] is True
    api = row["api"]
    assert api["operation"] == "ModifyListener"
    assert api["service"]["name"] == "elasticloadbalancing.amazonaws.com"
    assert (api["version"], api["request"]["uid"]) == ("2015-12-01", "r-1")
    metadata = row["metadata"]
    assert (metadata["uid"], metadata["correlation_uid"]) == ("e-1", "s-1")
    assert (metadata["tenant_uid"], metadata["event_code"]) == ("111122223333", "AwsApiCall")
    assert row["src_endpoint"]["ip"] == "203.0.113.9"
    assert row["http_request"]["user_agent"] == "aws-cli/2.15"
    assert row["tls"]["version"] == "TLSv1.3"
    assert [one["uid"] for one in row["resources"]] == [LISTENER, GROUP]
    assert row["resources"][0]["type"] == "AWS::ElasticLoadBalancingV2::Listener"
    assert row["resources"][1]["name"] == "green/73e2d6bc24d8a067"
    assert json.loads(row["unmapped"])["awsRegion"] == "eu-central-1"
    assert "requestParameters" not in row["unmapped"]


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"type": "IAMUser", "arn": "arn:aws:iam::1:user/ops/bob", "userName": "bob"}, "bob"),
        ({"type": "Root", "arn": "arn:aws:iam::1:root", "accountId": "1"}, "root"),
        (
            {"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"},
            "autoscaling.amazonaws.com",
        ),
        ({"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/carol"}, "carol"),
        (
            {"type": "SAMLUser", "userName": "dan@example.com", "identityProvider": "idp"},
            "dan@example.com",
        ),
        (
            {"type": "WebIdentityUser", "principalId": "accounts.google.com:c:1"},
            "accounts.google.com:c:1",
        ),
        ({"type": "AWSAccount", "principalId": "AIDA1", "accountId": "2"}, "AIDA1"),
        ({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-7"}}, "u-7"),
        ({"type": "Role", "arn": "arn:aws:iam::1:role/r"}, "r"),
        ({"invokedBy": "acm.amazonaws.com"}, "acm.amazonaws.com"),
        ({}, None),
    ],
)
def test_who_it_was(one, identity, name) -> None:
    row = one(EVENT | {"userIdentity": identity})
    assert row["parse_error"] is None
    found = ((row["actor"] or {}).get("user") or {}).get("name")
    assert found == name


@pytest.mark.parametrize("source", ["autoscaling.amazonaws.com", "AWS Internal", "30.*.0.210"])
def test_a_caller_that_is_no_address(one, source) -> None:
    row = one(EVENT | {"sourceIPAddress": source})
    assert (row["src_endpoint"]["ip"], row["src_endpoint"]["name"]) == (None, source)


@pytest.mark.parametrize(
    ("name", "read_only", "activity"),
    [
        ("CreateRule", False, 1),
        ("DescribeRules", True, 2),
        ("DescribeRules", None, 2),
        ("SetRulePriorities", False, 3),
        ("DeregisterTargets", False, 4),
        ("ImportCertificate", False, 1),
        ("UpdateWebACL", False, 3),
        ("SetDesiredCapacity", False, 3),
        ("AssumeRole", False, 99),
    ],
)
def test_activities(one, name, read_only, activity) -> None:
    row = one(EVENT | {"eventName": name, "readOnly": read_only})
    assert row["activity_id"] == activity


def test_a_call_that_was_denied(one) -> None:
    row = one(EVENT | {"errorCode": "AccessDenied", "errorMessage": "not allowed"})
    assert (row["status_id"], row["status_code"]) == (2, "AccessDenied")
    assert row["api"]["response"]["error"] == "AccessDenied"
    assert row["status_detail"] == "not allowed"


@pytest.mark.parametrize(("said", "status"), [("Success", 1), ("Failure", 2)])
def test_signing_in_to_the_console(one, said, status) -> None:
    row = one(
        EVENT
        | {
            "eventSource": "signin.amazonaws.com",
            "eventName": "ConsoleLogin",
            "eventType": "AwsConsoleSignIn",
            "responseElements": {"ConsoleLogin": said},
            "additionalEventData": {"MFAUsed": "No"},
        }
    )
    assert (row["class_uid"], row["activity_id"], row["status_id"]) == (3002, 1, status)
    assert row["is_mfa"] is False
    assert row["user"]["name"] == "Deployer/alice@example.com"


def test_what_a_call_was_about(one) -> None:
    arn = "arn:aws:acm:eu-central-1:1:certificate/c-1"
    row = one(
        EVENT
        | {
            "resources": [{"ARN": arn, "accountId": "1", "type": "AWS::ACM::Certificate"}],
            "requestParameters": {"certificateArn": arn, "autoScalingGroupName": "web"},
        }
    )
    named = [(one["uid"], one["name"], one["type"]) for one in row["resources"]]
    assert named[0] == (arn, "c-1", "AWS::ACM::Certificate")
    assert (None, "web", "AWS::AutoScaling::AutoScalingGroup") in named


def test_resources_are_bounded(one) -> None:
    many = [f"arn:aws:ec2:r:1:instance/i-{n}" for n in range(5_000)]
    row = one(EVENT | {"requestParameters": {"all": many}})
    assert len(row["resources"]) == 32


@pytest.mark.parametrize(
    "carried",
    [
        {"detail-type": "AWS API Call via CloudTrail", "detail": EVENT},
        {"EventId": "e-1", "CloudTrailEvent": json.dumps(EVENT)},
        {"aws": {"cloudtrail": EVENT}},
    ],
)
def test_what_carries_a_record(one, carried) -> None:
    assert one(carried)["metadata"]["uid"] == "e-1"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{}", "no CloudTrail record"),
        ('{"Records": []}', "a whole CloudTrail file"),
        ("[1]", "not an object"),
        ("x", "not valid JSON"),
    ],
)
def test_what_is_no_record(events, line, why) -> None:
    (row,) = events("cloudtrail", [line])
    assert row["class_uid"] == 0
    assert why in row["parse_error"]


def test_a_record_that_is_cut_short_is_read_as_far_as_it_goes(events) -> None:
    text = json.dumps(EVENT)
    (row,) = events("cloudtrail", [text[: text.index('"readOnly"')]])
    assert row["api"]["operation"] == "ModifyListener"
    assert "not valid JSON" in row["parse_error"]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from(sorted(EVENT)), junk), st.booleans())
def test_whatever_stands_in_a_member_the_record_is_kept(changed, nested) -> None:
    value = EVENT | changed
    if nested:
        value["userIdentity"] = dict.fromkeys(EVENT["userIdentity"], changed.get("resources"))
    lines = pl.Series([json.dumps(value)])
    frame = run("cloudtrail", lines, Context(pl.Series([None], dtype=pl.Datetime("us", "UTC"))))
    assert frame.height == 1
    error = frame["parse_error"][0]
    assert error is None or "parser failed" not in error
