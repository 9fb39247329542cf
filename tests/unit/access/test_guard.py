"""The guard: who is let in, and what a browser cannot be made to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from muniment.access import Guard, Scope, Tokens
from muniment.access.caller import ANYONE, LOCAL
from muniment.access.guard import Call
from muniment.errors import Forbidden, Unauthenticated


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens.open(tmp_path / "tokens.json")


@pytest.fixture
def loopback(tokens: Tokens) -> Guard:
    return Guard(tokens, required=False)


@pytest.fixture
def strict(tokens: Tokens) -> Guard:
    return Guard(tokens, required=True)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8470", "localhost:1", "[::1]:8470", "LOCALHOST", "a.localhost"]
)
def test_on_loopback_the_local_user_needs_no_token(loopback: Guard, host: str) -> None:
    assert loopback.admit(Call("POST", host=host)) is LOCAL


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8470",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1:8470, evil.example",
        "localhost:x",
        "10.0.0.1",
        "[::2]",
        "[::1",
        "[::1]x",
    ],
)
def test_a_rebound_name_is_refused(loopback: Guard, host: str | None) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(Forbidden):
            loopback.admit(Call(method, host=host))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none of these"])
def test_a_page_of_another_site_cannot_write(loopback: Guard, site: str) -> None:
    with pytest.raises(Forbidden):
        loopback.admit(Call("POST", host="127.0.0.1:8470", fetch_site=site))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8470"]
)
def test_a_page_of_another_origin_cannot_write(loopback: Guard, origin: str) -> None:
    with pytest.raises(Forbidden):
        loopback.admit(Call("DELETE", host="127.0.0.1:8470", origin=origin))


def test_the_console_itself_can_write(loopback: Guard) -> None:
    call = Call(
        "POST", host="127.0.0.1:8470", origin="http://127.0.0.1:8470", fetch_site="same-origin"
    )
    assert loopback.admit(call) is LOCAL


def test_a_forwarded_call_is_not_the_local_users(loopback: Guard) -> None:
    with pytest.raises(Unauthenticated):
        loopback.admit(Call("GET", host="127.0.0.1", forwarded=True))


def test_a_token_that_is_shown_must_be_valid_even_on_loopback(
    loopback: Guard, tokens: Tokens
) -> None:
    token = tokens.create("shipper", [Scope.WRITE])
    call = Call("POST", host="logs.example", authorization=f"Bearer {token}", forwarded=True)
    assert loopback.admit(call).name == "shipper"
    for shown in ("", "Bearer", "Bearer ", "Basic abc", f"Bearer {token}x", token):
        with pytest.raises(Unauthenticated):
            loopback.admit(Call("GET", host="127.0.0.1", authorization=shown))


def test_where_tokens_are_required_nobody_comes_in_without(strict: Guard, tokens: Tokens) -> None:
    with pytest.raises(Unauthenticated):
        strict.admit(Call("GET", host="127.0.0.1"))
    token = tokens.create("reader", [Scope.READ])
    call = Call("GET", host="logs.example", authorization=f"bearer {token}")
    assert strict.admit(call).name == "reader"


def test_a_listener_told_to_do_without_lets_anyone_in_but_no_foreign_page(tokens: Tokens) -> None:
    guard = Guard(tokens, required=False, open_to_all=True)
    assert guard.admit(Call("POST", host="logs.example", forwarded=True)) is ANYONE
    with pytest.raises(Forbidden):
        guard.admit(Call("POST", host="logs.example", origin="https://evil.example"))


def test_a_page_of_another_site_cannot_use_the_browsers_certificate(strict: Guard) -> None:
    call = Call("POST", host="logs.example", certificate="cert:edge")
    assert strict.admit(call).name == "cert:edge"
    for page in (
        replace(call, fetch_site="cross-site"),
        replace(call, origin="https://evil.example"),
    ):
        with pytest.raises(Forbidden):
            strict.admit(page)


def test_required_tokens_go_before_open_to_all(tokens: Tokens) -> None:
    guard = Guard(tokens, required=True, open_to_all=True)
    with pytest.raises(Unauthenticated):
        guard.admit(Call("GET", host="127.0.0.1"))
