"""Chromium against a loopback server; a page that breaks its own rules fails its test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_server import Evidence, Site, serve
from console_traffic import busy_hour
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000  # milliseconds, a bound and not an expectation
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module; its event loop must be gone before other tests run one."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed: the console was not tried in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield started
        started.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A server whose log is still empty."""
    evidence = Evidence()
    server = serve(evidence)
    yield Site(f"http://127.0.0.1:{server.server_port}/", evidence)
    server.shutdown()
    server.server_close()


@pytest.fixture
def busy(site: Site) -> Site:
    """A server whose log holds 260 requests of the last hour."""
    now = int(time.time() * 1000)
    site.evidence.made.extend(busy_hour(now - 60_000, 260))
    return site


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile at desktop size."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    fresh.set_default_timeout(PATIENCE)
    yield fresh
    fresh.close()


def _is_trouble(message: ConsoleMessage) -> bool:
    # Chromium itself reports refused requests here; the page says those to the user.
    return message.type == "error" and "Failed to load resource" not in message.text


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page whose uncaught errors, CSP violations and foreign requests fail the test."""
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda m: troubles.append(m.text) if _is_trouble(m) else None)
    opened.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("http://127.0.0.1:", "blob:"))
            else troubles.append(f"foreign request: {request.url}")
        ),
    )
    yield opened
    assert troubles == []


@pytest.fixture
def visit(page: Page, site: Site) -> Callable[..., Page]:
    """Open the console with a query string and wait for its first answer."""

    def go(query: str = "", until: str = "#rows .row, #guide h2, #problem:not([hidden])") -> Page:
        page.goto(site.address + query)
        page.wait_for_selector(until)
        return page

    return go
