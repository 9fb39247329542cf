"""No secret of an NGINX configuration leaves the host, and each can be put back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.balancer.nginx import File
from muniment.balancer.nginx_syntax import parse
from muniment.capture.redaction import redactor
from muniment.capture.systems.headers import is_secret_header, without_secrets
from muniment.capture.systems.nginx_secrets import conceal, restored
from muniment.errors import MunimentError

REDACT = redactor(b"k" * 32)
SECRET = "hush-hush"


def file_of(text: str) -> File:
    try:
        return File(text.encode(), text, "utf-8", parse(text))
    except MunimentError as error:
        return File(text.encode(), text, "utf-8", None, error.detail)


@pytest.mark.parametrize(
    "text",
    [
        f'proxy_set_header Authorization "Basic {SECRET}";',
        f"proxy_set_header X-Api-Key {SECRET};",
        f"proxy_set_header Cookie 'session={SECRET}';",
        f"grpc_set_header authorization '{SECRET}';",
        f"fastcgi_param HTTP_AUTHORIZATION {SECRET};",
        f"fastcgi_param DB_PASSWORD {SECRET};",
        f"uwsgi_param API_TOKEN {SECRET};",
        f"set $upstream_token {SECRET};",
        f"secure_link_secret {SECRET};",
        f'secure_link_md5 "$secure_link_expires$uri {SECRET}";',
        f"proxy_pass http://ann:{SECRET}@10.0.0.1/;",
        f"server 10.0.0.1:80 password={SECRET};",
        f'map $http_x_api_key $client {{ default ""; "{SECRET}" one; }}',
        f'if ($arg_token != "{SECRET}") {{ return 403; }}',
        f"if ($http_authorization != {SECRET}) {{ return 403; }}",
        f"server {{ # proxy_set_header Authorization {SECRET};\n listen 80; }}",
        f"#proxy_set_header Authorization {SECRET}",
        f"server {{ set $token {SECRET};",  # unfinished: no file that can be parsed
        f'set $token "{SECRET};',
    ],
)
def test_a_secret_is_replaced_and_can_be_put_back(text: str) -> None:
    file = file_of(text)
    made = conceal(file, REDACT)
    assert SECRET not in made.text
    assert SECRET not in repr(made.directives)
    assert "[redacted " in made.text
    assert file.text == text and SECRET in file.text
    if file.parsed is not None:
        assert restored(made.text, made.sources) == text
        assert parse(made.text)
        assert restored(made.text, {}) is None
    rotated = conceal(file_of(text.replace(SECRET, "other-one")), REDACT)
    assert rotated.text != made.text


@pytest.mark.parametrize(
    "text",
    [
        "proxy_set_header Authorization $http_authorization;",
        'proxy_set_header Authorization "";',
        'proxy_set_header Authorization "Bearer $token";',
        "proxy_pass_header Authorization;",
        "auth_basic_user_file /etc/nginx/htpasswd;",
        "ssl_password_file /etc/keys/passwords;",
        "ssl_certificate_key /etc/keys/edge.key;",
        "proxy_set_header Host $host;",
        "set $proxy_pass_url http://10.0.0.1;",
        "fastcgi_pass_header Authorization;",
        "map $uri $x { default 1; /a 2; }",
        "# the password is elsewhere",
        "proxy_pass http://10.0.0.1/a@b;",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    made = conceal(file_of(text), REDACT)
    assert (made.text, made.sources) == (text, {})


def test_headers_that_carry_secrets() -> None:
    for name in ("Authorization", "Proxy-Authorization", "X-Api-Key", "cookie", "X-Auth-Token"):
        assert is_secret_header(name)
    for name in ("Host", "X-Forwarded-For", "Sec-WebSocket-Key", "X-Request-Id", "Author"):
        assert not is_secret_header(name)


@pytest.mark.fuzz
@given(
    st.lists(
        st.sampled_from(
            [
                "set ",
                "$token ",
                f'"{SECRET}"',
                f" {SECRET} ",
                ";",
                "{",
                "}",
                "#",
                "\n",
                "'",
                "\\",
                "proxy_set_header ",
                "Authorization ",
                "map $http_cookie $x ",
                "if ",
                "($arg_token = ",
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_text_can_be_put_back_as_it_was(text: str) -> None:
    file = file_of(text)
    made = conceal(file, REDACT)
    if file.parsed is not None:
        assert restored(made.text, made.sources) == text


members = st.sampled_from(["password", "key", "value", "users", "a", "inline_string", "token"])
json_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab:@/", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.fuzz
@given(json_values)
def test_what_is_replaced_in_json_is_told(value: object) -> None:
    made, found = without_secrets(value, REDACT)
    assert len(set(found)) == len(found)
    for pointer in found:
        place = made
        for step in pointer.split("/")[1:]:
            place = place[int(step)] if isinstance(place, list) else place[step]
        assert "[redacted " in place
    assert bool(found) == (made != value)
