"""The console in a real browser: what HAProxy just logged, and the proof of it."""

from __future__ import annotations

import uuid

import pytest

from .conftest import Edge
from .harness.load import exchange, find, request
from .harness.waiting import wait_for


def test_an_entry_that_haproxy_logged_is_shown_and_its_proof_holds(edge: Edge) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = find("chromium", "chromium")
    path = f"/console/{uuid.uuid4().hex}</script>"
    exchange(edge.haproxy.ports["lax"], request(path, "X-Mark: <img src=x onerror=alert(1)>"))
    wait_for(lambda: edge.muniment.search(f'"{path}"')["rows"], "the request in a search")

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("dialog", lambda dialog: troubles.append(dialog.message))
            page.goto(edge.muniment.url)
            page.locator("#q").fill(f'"{path}" via:syslog-udp')
            page.locator("#q").press("Enter")
            row = page.locator("#rows [role=row]").filter(has_text=path)
            sync_api.expect(row).to_have_count(1, timeout=30_000)
            row.click()
            verdict = page.locator(".verdict.good h3, .verdict.bad h3, .verdict.unsure h3")
            sync_api.expect(verdict).to_have_text("The proof holds", timeout=30_000)
            sync_api.expect(page.locator("#detail-body")).to_contain_text(path)
            assert troubles == []
        finally:
            browser.close()
