"""The console's page of changes in a real browser: versions, who did it, two side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from muniment.capture.change import change, record
from muniment.capture.snapshot import Snapshot

from .harness.load import find
from .harness.server import LOG, MunimentServer, serving
from .harness.waiting import wait_for

FILE = "haproxy:lb1/file/etc/haproxy/haproxy.cfg"
SERVER = "haproxy:lb1/server/web/<img src=x onerror=alert(1)>"
OLD = "backend web\n    server w1 127.0.0.1:80\n"
NEW = "backend web\n    server w1 127.0.0.1:81\n    timeout server 30s\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MunimentServer]:
    with serving(tmp_path) as one:
        yield one


def put(server: MunimentServer, name: str, states: list[dict | None]) -> None:
    """Posts the change events of an object that had these states, some seconds apart."""
    before: Snapshot | None = None
    since = ""
    for number, state in enumerate(states):
        time = f"2026-11-21T10:00:{number:02d}.000000Z"
        after = None if state is None else Snapshot(state)
        event = change(name, before, after, time=time, since=since)
        assert event is not None
        server.accepted(record(event), source="change", kind="application/json")
        before, since = after, time


def act(server: MunimentServer) -> None:
    """Somebody acted on the object between the two looks."""
    event = {
        "time": "2026-11-21T10:00:00.500000Z",
        "actor": "ann",
        "action": "config.update",
        "resource": FILE,
        "outcome": "success",
        "client": "192.0.2.7",
    }
    server.accepted(orjson.dumps(event), source="json", kind="application/json")


def test_versions_are_shown_with_who_made_them_and_compared(server: MunimentServer) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = find("chromium", "chromium")
    put(server, FILE, [{"text": OLD, "mode": "0644"}, {"text": NEW, "mode": "0644"}])
    put(server, SERVER, [{"weight": 100}, {"weight": 50}, None])
    act(server)
    wait_for(lambda: len(server.search("", limit=100)["rows"]) >= 6, "all to be indexed")

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("dialog", lambda dialog: troubles.append(dialog.message))
            page.goto(f"{server.url}/changes.html?log={LOG}")
            expect = sync_api.expect
            expect(page.locator(".object")).to_have_count(2, timeout=30_000)

            page.locator(".object").filter(has_text="haproxy.cfg").click()
            expect(page.locator(".version-list > li")).to_have_count(2)
            expect(page.locator(".side-by-side .was")).to_contain_text("127.0.0.1:80")
            expect(page.locator(".side-by-side .is").last).to_contain_text("timeout server 30s")
            expect(page.locator(".evidence").first).to_contain_text("ann from 192.0.2.7")

            page.locator(".object").filter(has_text="onerror").click()
            expect(page.locator(".version-list > li")).to_have_count(3)
            page.locator(".version-list > li").nth(1).get_by_role("button", name="B").click()
            expect(page.locator(".difference")).to_contain_text("/weight")
            assert "b=2" in page.url
            expect(page.locator('[data-pick="B2"]')).to_be_focused()

            page.get_by_role("button", name="Completeness").click()
            expect(page.locator(".completeness .notice")).to_contain_text("no agent sends counters")
            expect(page.locator("#problem")).to_be_hidden()
            page.goto(f"{server.url}/changes.html?log={LOG}&object=haproxy:lb1/server/web/none")
            expect(page.locator("#problem")).to_contain_text("nothing is known")
            expect(page.locator(".versions")).to_contain_text("nothing to show")
            page.locator(".object").filter(has_text="onerror").click()
            expect(page.locator(".version-list > li")).to_have_count(3)

            page.locator(".version-list > li").first.locator(".version-head a").click()
            verdict = page.locator(".verdict h3")
            expect(verdict).to_have_text("The proof holds", timeout=30_000)
            assert troubles == []
        finally:
            browser.close()
