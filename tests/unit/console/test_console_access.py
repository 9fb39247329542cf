"""Tokens: asked for when they are needed, kept in the tab, sent with every request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_server import Site
from playwright.sync_api import Page, expect

Visit = Callable[[str], Page]


@pytest.fixture
def guarded(busy: Site, page: Page) -> Page:
    """A page whose server asks for a token."""
    busy.evidence.faults.token = "right"
    page.goto(busy.address)
    expect(page.locator("#token-dialog")).to_be_visible()
    return page


def give(page: Page, token: str) -> None:
    """Answer the dialog."""
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use this token").click()


def test_with_the_token_the_page_works(guarded: Page) -> None:
    give(guarded, "right")
    expect(guarded.locator("#rows .row")).to_have_count(100)
    guarded.click("#live-button")
    expect(guarded.locator("#live")).to_have_attribute("data-state", "connected")
    guarded.locator("#rows .row").first.click()
    expect(guarded.locator(".verdict.good")).to_be_visible()


def test_a_refused_token_is_asked_for_again(guarded: Page) -> None:
    give(guarded, "wrong")
    expect(guarded.locator("#token-why")).to_contain_text("The token was refused.")
    give(guarded, "right")
    expect(guarded.locator("#rows .row")).to_have_count(100)


def test_enter_in_the_token_field_uses_the_token(guarded: Page) -> None:
    guarded.get_by_label("Token", exact=True).fill("right")
    guarded.keyboard.press("Enter")
    expect(guarded.locator("#rows .row")).to_have_count(100)


def test_giving_up_shows_the_problem(guarded: Page) -> None:
    guarded.get_by_role("button", name="Cancel").click()
    expect(guarded.locator("#token-dialog")).to_be_hidden()
    expect(guarded.locator("#problem")).to_contain_text("Show a token with the right to read.")


def test_the_token_lives_in_the_tab_only(guarded: Page) -> None:
    give(guarded, "right")
    expect(guarded.locator("#rows .row")).to_have_count(100)
    stored = guarded.evaluate(
        "[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]"
    )
    assert stored == ['{"muniment.token":"right"}', "{}", ""]
    assert "right" not in guarded.url


def test_a_server_that_is_gone_is_said_in_words(busy: Site, visit: Visit) -> None:
    page = visit("")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("The server cannot be reached.")
