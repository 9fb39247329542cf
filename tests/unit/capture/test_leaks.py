"""Realistic configuration of every system goes in; no secret of it comes out."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest

from muniment.capture.redaction import redactor
from muniment.capture.systems import aws_objects
from muniment.capture.systems.headers import without_secrets
from muniment.capture.systems.kubernetes_objects import KINDS, snapshot_of
from muniment.capture.systems.text_secrets import redacted

REDACT = redactor(b"k" * 32)

LINES = r"""
    presetenv STRIPE_KEY hush
    http-request set-var(txn.secret) str(hush)
    acl ok req.hdr(Authorization) -m str "Bearer hush"
    acl tok hdr(x-api-key) hush
    acl tok url_param(token) -m str hush
    acl tok urlp(apikey) hush
    http-request deny unless { req.hdr(Authorization) "Bearer hush" }
    http-request set-path /x if { req.hdr(authorization) -m sub hush }
    http-request set-var(txn.a) req.hdr(x),jwt_verify(txn.alg,"hush")
    http-request set-var(txn.s) var(txn.x),aes_gcm_dec(128,txn.nonce,hush,txn.tag)
    http-request set-uri https://x/?api_key=hush&b=c
    tcp-check send AUTH\ hush\r\n
    tcp-check send "AUTH hush\r\n"
    http-response set-header Set-Cookie "sid=hush; path=/"
    http-request replace-header Authorization (.*) hush
    http-request set-header X-Hub-Signature hush
    bob:$apr1$hushhush$hushhush
    eve:{SHA}hushhushhush=
    curl -H 'x: Bearer hush12345678'
    rule: Header(`Authorization`, `Bearer hush`)
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_no_secret_of_a_line_stays(line: str) -> None:
    found = redacted(f"frontend f\n{line}\n    mode http\n", REDACT)
    assert "hush" not in found.text
    assert found.text.startswith("frontend f\n") and found.text.endswith("\n    mode http\n")
    back = found.text
    for marker, secret in found.secrets.items():
        back = back.replace(marker, secret)
    assert back == f"frontend f\n{line}\n    mode http\n"


def pem(secret: str) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "state",
    [
        {"generic_secret": {"secret": {"inline_string": "hush"}}},
        {"session_ticket_keys": {"keys": [{"inline_bytes": "hush"}]}},
        {"credentials": {"token_secret": {"inline_string": "hush"}}},
        {"inline_credential": {"access_key_id": "AKIA", "secret_access_key": "hush"}},
        {"headers": [{"name": "authorization", "string_match": {"exact": "Bearer hush"}}]},
        {"headers": [{"name": "x-token", "exact_match": "hush"}]},
        {"inline_code": "local password = 'hush'"},
        {"credentials": [{"key": "hush", "client": "x"}]},
        {"uri": "https://x/?api_key=hush"},
        {"forwardAuth": {"tls": {"key": pem("hush")}}},
        {"plugin": {"redisPassword": "hush", "jwtSecret": "hush", "sessionKey": "hush"}},
        {"rule": "Header(`Authorization`, `Bearer hush`) && Query(`token`, `hush`)"},
    ],
)
def test_no_secret_of_a_structure_stays(state: dict[str, Any]) -> None:
    made, places = without_secrets(state, REDACT)
    assert b"hush" not in orjson.dumps(made)
    assert places


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("plural", "given"),
    [
        ("ingresses", {"metadata": {"annotations": {"example.com/password": "hush"}}}),
        (
            "httproutes",
            {"spec": {"rules": [{"filters": [{"set": [{"name": "X-Api-Key", "value": "hush"}]}]}]}},
        ),
        ("configmaps", {"data": {"secretKey": "hush", "tls.key": "hush", "api-key.txt": "hush"}}),
        ("configmaps", {"binaryData": {"a.cfg": coded("password=hush"), "b.key": coded("hush")}}),
    ],
)
def test_no_secret_of_a_kubernetes_object_stays(plural: str, given: dict[str, Any]) -> None:
    metadata = {"name": "a", "namespace": "d", **given.get("metadata", {})}
    thing = {"apiVersion": "v1", "kind": "X", **given, "metadata": metadata}
    _, found = snapshot_of("c", KINDS[plural], thing, REDACT)
    made = orjson.dumps(found.state)
    assert b"hush" not in made
    assert coded("hush").encode() not in made
    assert coded("password=hush").encode() not in made
    assert found.redacted


def test_no_secret_of_a_rule_of_aws_stays() -> None:
    rule = {
        "Priority": "1",
        "Conditions": [
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-Origin-Verify", "Values": ["hush"]},
            },
            {
                "Field": "query-string",
                "QueryStringConfig": {"Values": [{"Key": "token", "Value": "hush"}]},
            },
        ],
        "Actions": [{"Type": "redirect", "RedirectConfig": {"Query": "token=hush"}}],
    }
    found = aws_objects.snapshot(aws_objects.rule(rule), REDACT)
    assert b"hush" not in orjson.dumps(found.state)
    assert len(found.redacted) == 3
