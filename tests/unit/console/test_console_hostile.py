"""What stands in a log is written by strangers: on the page it is inert, and it cannot hide."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_server import Site
from console_traffic import make, request
from playwright.sync_api import Page, expect

Visit = Callable[[str], Page]
NOON = 1_795_262_400_000
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def test_markup_is_text_everywhere(site: Site, visit: Visit) -> None:
    site.evidence.add(
        request(NOON, method="GET", path=f"/{MARKUP}", status=404, agent=MARKUP, host=MARKUP)
    )
    page = visit("?range=all")
    expect(page.locator("#rows .path")).to_have_text(f"/{MARKUP}")
    page.locator("#rows .row").click()
    expect(page.locator(".verdict.good")).to_be_visible()
    expect(page.locator("pre.bytes").last).to_contain_text(MARKUP)
    expect(page.locator(".leaf", has_text="user_agent").locator(".value")).to_have_text(MARKUP)
    assert page.locator("main img, main script, dialog img").count() == 0
    assert page.title() == "Muniment"


@pytest.mark.parametrize(
    ("hidden", "name"),
    [("\u202e", "RLO"), ("\u2066", "LRI"), ("\u200b", "ZWSP"), ("\x1b", "ESC"), ("\ufeff", "BOM"),
     ("\u2028", "U+2028"), ("\U000e0041", "U+E0041"), ("\x00", "NUL"), ("\x85", "U+0085")],
)  # fmt: skip
def test_unseen_characters_are_shown_by_name(
    site: Site, visit: Visit, hidden: str, name: str
) -> None:
    site.evidence.add(request(NOON, method="GET", path=f"/a{hidden}b", status=200))
    path = visit("?range=all").locator("#rows .path")
    expect(path.locator(".unseen")).to_have_text(name)
    expect(path).to_have_text(f"/a{name}b")


def test_bytes_that_are_not_utf8_are_shown_as_their_codes(site: Site, visit: Visit) -> None:
    raw = b'caf\xc3\xa9 \xff\xfe \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82 end "\\"'
    site.evidence.add(make(raw, NOON, "haproxy", class_uid=0, parse_error="no"))
    page = visit("?range=all")
    page.locator("#rows .row").click()
    shown = page.get_by_label("Raw bytes")
    expect(shown).to_have_text(raw.decode("utf-8", "backslashreplace"))
    # The index's form of the same bytes is no difference.
    expect(page.locator(".entry .notice")).to_have_count(0)
    page.get_by_role("button", name="Hex").click()
    expect(shown).to_contain_text("00000  63 61 66 c3 a9 20 ff fe 20 c0 af 20 ed a0 80 20")


def test_an_index_that_shows_other_bytes_than_the_log_is_reported(site: Site, visit: Visit) -> None:
    lying = make(b"GET /admin", NOON, "haproxy", class_uid=0, parse_error="no")
    lying.row["raw_data"] = "GET /harmless"
    site.evidence.add(lying)
    page = visit("?range=all")
    page.locator("#rows .row").click()
    expect(page.locator(".entry .notice")).to_contain_text("other raw bytes")


def test_a_binary_entry_is_shown_readable_and_is_no_difference(site: Site, visit: Visit) -> None:
    binary = make(b"\x93\xa4edge\x01\x81\xa3log\xa2hi", NOON, "forward/nginx", class_uid=0)
    binary.row["raw_data"] = '["edge",1700000000.123456789,{"log":"hi"}]'
    site.evidence.add(binary)
    page = visit("?range=all")
    page.locator("#rows .row").click()
    expect(page.get_by_label("Readable form")).to_have_text(binary.row["raw_data"])
    expect(page.get_by_label("Raw bytes")).to_contain_text("\\x93\\xa4edge")
    expect(page.locator(".entry .notice")).to_have_count(0)


def test_json_of_such_a_protocol_is_compared(site: Site, visit: Visit) -> None:
    lying = make(b'{"streams":[]}', NOON, "loki", class_uid=0)
    lying.row["raw_data"] = '{"streams":[{}]}'
    site.evidence.add(lying)
    page = visit("?range=all")
    page.locator("#rows .row").click()
    expect(page.locator(".entry .notice")).to_contain_text("other raw bytes")
    expect(page.get_by_label("Readable form")).to_have_count(0)


def test_a_log_line_of_sixty_kilobytes_does_not_break_the_list(site: Site, visit: Visit) -> None:
    site.evidence.add(make(b"x" * 60_000, NOON, "haproxy", class_uid=0, parse_error="no"))
    page = visit("?range=all")
    box = page.locator("#rows .row").bounding_box()
    assert box
    assert box["height"] < 60
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_state_in_the_address_is_ignored(site: Site, visit: Visit) -> None:
    site.evidence.add(request(NOON, method="GET", path="/", status=200))
    page = visit("?range=nonsense&entry=../../x&from=<b>&live=2&q=GET")
    expect(page.locator("#range")).to_have_value("1h")
    expect(page.locator("#detail")).to_be_hidden()
