"""The page as such: policy, keyboard, names for assistive technology, contrast, small screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from console_server import Site
from playwright.sync_api import Browser, Page, expect

from muniment.console import static_directory

Visit = Callable[[str], Page]
Scheme = Literal["light", "dark"]

# Contrast by WCAG 2.2, 1.4.3: every run of text against the ground behind it.
CONTRAST = """() => {
  const channel = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255)
    + 0.0722 * channel(b / 255);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([walker.currentNode.data.slice(0, 40), ratio.toFixed(2)]);
  }
  return poor;
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, a[href], [role=group]")]
  .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim()
    || node.labels?.length))
  .map((node) => node.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(busy: Site, browser: Browser, scheme: Scheme) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(busy.address)
    page.locator("#rows .row").first.click()
    expect(page.locator(".verdict.good")).to_be_visible()
    page.get_by_text("How this was checked").click()
    assert page.evaluate(CONTRAST) == []
    context.close()


def test_every_control_has_a_name(busy: Site, visit: Visit) -> None:
    page = visit("")
    page.locator("#rows .row").first.click()
    expect(page.locator(".verdict.good")).to_be_visible()
    assert page.evaluate(NAMELESS) == []


def test_the_page_can_be_used_with_the_keyboard_alone(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    expect(page.locator("#rows .row")).to_have_count(100)
    others = page.locator("#rows .method").filter(has_not_text="GET")
    expect(others).not_to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("method:GET")
    page.keyboard.press("Enter")
    expect(others).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    second = page.locator("#rows .row").nth(1)
    expect(second).to_have_attribute("aria-selected", "true")
    expect(page.locator(".verdict.good")).to_be_visible()
    page.keyboard.press("j")
    third = page.locator("#rows .row").nth(2)
    expect(third).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(third).to_be_focused()


def test_the_help_opens_and_an_example_can_be_tried(busy: Site, visit: Visit) -> None:
    page = visit("")
    page.keyboard.press("?")
    page.locator("#help").get_by_role("button", name="status:>=500").click()
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator("#q")).to_have_value("status:>=500")


def test_times_are_written_in_utc_or_in_local_time(busy: Site, browser: Browser) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(busy.address)
    first = page.locator("#rows .time").first
    utc = first.inner_text()
    page.get_by_role("button", name="UTC", exact=True).click()
    expect(page.locator("#zone")).to_have_text("UTC+05:30")
    expect(first).not_to_have_text(utc)
    page.reload()
    expect(page.locator("#zone")).to_have_text("UTC+05:30")
    context.close()


@pytest.mark.parametrize("width", [320, 390, 760, 1024, 1920])
def test_no_width_scrolls_sideways(busy: Site, visit: Visit, width: int) -> None:
    page = visit("")
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#rows .row").first.click()
    expect(page.locator(".verdict.good")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    root = static_directory()
    html = (root / "index.html").read_text()
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert html.count("<script") == html.count('<script type="module" src="js/') == 1
    for path in root.rglob("*.*"):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "innerHTML" not in text, path
        assert "insertAdjacentHTML" not in text, path


def test_the_column_heads_stay_while_the_list_is_scrolled(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    page.locator("#rows .row").nth(80).scroll_into_view_if_needed()
    expect(page.locator(".heads .time")).to_be_in_viewport()
