"""Secrets in configuration text: replaced, put back by their markers, and nothing else touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.redaction import redactor
from muniment.capture.systems.text_secrets import redacted

REDACT = redactor(b"k" * 32)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("  user alice insecure-password s3cret groups ops", "s3cret"),
        ("  user alice password $6$abc$def/ghi", "$6$abc$def/ghi"),
        ("  stats auth admin:s3:cret", "s3:cret"),
        ("  dynamic-cookie-key s3cret", "s3cret"),
        ("  setenv API_TOKEN s3cret", "s3cret"),
        ('  http-request set-header Authorization "Basic YWxpY2U6eA=="', "Basic YWxpY2U6eA=="),
        ("  http-check send hdr Authorization s3cret", "s3cret"),
        ("  http-request set-var(txn.x) str(a),hmac(sha256,c2VjcmV0)", "c2VjcmV0"),
        ("proxy_set_header X-Api-Key s3cret;", "s3cret"),
        ("endpoint: https://alice:s3cret@example.com/x", "s3cret"),
        ("client_secret: s3cret", "s3cret"),
        ("db.password = 's3 cret'", "s3 cret"),
        ('{"api_key": "s3cret"}', "s3cret"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ==\n-----END EC PRIVATE KEY-----", "MHcCAQ=="),
        ("  # user alice password s3cret", "s3cret"),
        ('user "a#b" password s3cret', "s3cret"),
        ("  user alice insecure-password s3,c;r#et", "s3,c;r#et"),
        ("  http-request set-header Authorization Basic\\ YWxpY2U6eA==", "Basic\\ YWxpY2U6eA=="),
        ("authorization: Bearer abc.def", "Bearer abc.def"),
        ("token: a,b", "a,b"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,0A\n\nMHcC\n"
            "-----END RSA PRIVATE KEY-----",
            "DEK-Info: AES-256-CBC,0A\n\nMHcC",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMHcC\nAQ==\n-----END PRIVATE KEY-----", "MHcC\nAQ=="),
    ],
)
def test_a_secret_is_replaced(line: str, secret: str) -> None:
    text = f"global\n{line}\nbackend app\n"
    found = redacted(text, REDACT)
    marker = REDACT(secret)
    assert found.text == text.replace(secret, marker)
    assert found.secrets == {marker: secret}


@pytest.mark.parametrize(
    "text",
    [
        "global\n  stats socket /run/haproxy/admin.sock mode 660 level admin\n",
        "  bind :443 ssl crt /etc/haproxy/site.pem\n  http-request auth realm Ops\n",
        "  timeout client 5s\n  option httplog\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text, REDACT).text == text


def test_a_key_that_is_cut_off_is_replaced_to_the_end() -> None:
    found = redacted("a\n-----BEGIN PRIVATE KEY-----\nMHcC\nAQ", REDACT)
    marker = REDACT("MHcC\nAQ")
    assert found.text == f"a\n-----BEGIN PRIVATE KEY-----\n{marker}"


def test_the_same_secret_has_one_marker_and_another_another() -> None:
    found = redacted("user a password x1\nuser b password x1\nuser c password x2\n", REDACT)
    assert sorted(found.secrets.values()) == ["x1", "x2"]


LINES = ["user a password ", "stats auth u:", "token: ", "x = 'p", "https://u:p@h", "\n", '"']


@pytest.mark.fuzz
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=30).map("".join))
def test_with_the_markers_put_back_it_is_the_text(text: str) -> None:
    found = redacted(text, REDACT)
    whole = found.text
    for marker, secret in found.secrets.items():
        whole = whole.replace(marker, secret)
    assert whole == text or any(secret in found.secrets for secret in found.secrets.values())
    assert len(found.text) <= 30 * len(text) + 30
