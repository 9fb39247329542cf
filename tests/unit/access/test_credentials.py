"""Credentials: the token in an Authorization header, whatever scheme a client has for it."""

from __future__ import annotations

import contextlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.access.credentials import MAX_CREDENTIALS, token_of
from muniment.errors import Unauthenticated

TOKEN = "mun_0a1b2c3d_" + "s" * 43


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN}",
        f"bearer  {TOKEN} ",
        f"Splunk {TOKEN}",
        f"ApiKey {TOKEN}",
        f"ApiKey {encoded(f'id:{TOKEN}')}",
        f"Basic {encoded(f'user:{TOKEN}')}",
        f"basic {encoded(f':{TOKEN}')}",
    ],
)
def test_every_scheme_shows_the_token(header: str) -> None:
    assert token_of(header) == TOKEN


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", TOKEN, f"Digest {TOKEN}", f"Token {TOKEN}"),
        *("Basic ", "Basic !!!", f"Basic {encoded('no colon')}", f"Basic {encoded('user:')}"),
        f"Basic {encoded('user:é')}",
        f"Bearer {'x' * (MAX_CREDENTIALS + 1)}",
    ],
)
def test_what_shows_no_token_is_refused_without_repeating_it(header: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        token_of(header)
    assert TOKEN not in caught.value.detail


def test_a_password_may_hold_colons() -> None:
    assert token_of(f"Basic {encoded('user:a:b')}") == "a:b"


@pytest.mark.fuzz
@given(st.text(max_size=80), st.sampled_from(["", "Basic ", "ApiKey ", "Bearer ", "Splunk "]))
def test_any_text_is_a_token_or_refused(text: str, scheme: str) -> None:
    with contextlib.suppress(Unauthenticated):
        assert token_of(scheme + text)
