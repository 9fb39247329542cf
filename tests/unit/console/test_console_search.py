"""Searching: what the page asks for, what it shows, and what the address bar keeps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from console_server import SHARD, Site
from console_traffic import make, request
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
NOON = 1_795_262_400_000  # 2026-11-21 12:00 UTC


def shown(page: Page) -> list[str]:
    """The keys of the lines on the page, top to bottom."""
    found = page.locator("#rows .row").evaluate_all("rows => rows.map(row => row.dataset.key)")
    return [str(key) for key in found]


def address(page: Page) -> dict[str, str]:
    """The state in the address bar."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def search(page: Page, query: str) -> None:
    """Type a query and run it."""
    page.fill("#q", query)
    page.press("#q", "Enter")


def test_a_line_shows_the_parts_of_a_request(site: Site, visit: Visit) -> None:
    site.evidence.add(
        request(
            NOON, method="POST", path="/api/v2/orders", status=502, took=1249,
            client="2001:db8::7", port=443, server="app-2", host="shop.example",
        )
    )  # fmt: skip
    line = visit("?range=all").locator("#rows .row")
    expect(line.locator(".time")).to_have_text("21 Nov 12:00:00.000")
    expect(line.locator(".source")).to_have_text("haproxy")
    expect(line.locator(".status")).to_have_text("502")
    expect(line.locator(".method")).to_have_text("POST")
    expect(line.locator(".what")).to_have_text("shop.example/api/v2/orders")
    expect(line.locator(".client")).to_have_text("[2001:db8::7]:443")
    expect(line.locator(".backend")).to_have_text("web/app-2")
    expect(line.locator(".duration")).to_have_text("1.25 s")


def test_a_line_of_an_audit_shows_who_did_what(site: Site, visit: Visit) -> None:
    site.evidence.add(
        make(
            b"{}", NOON, "kubernetes", class_uid=6003, message="create /api/v1/pods",
            actor={"user": {"name": "alice"}}, api={"operation": "create"},
            src_endpoint={"ip": "10.0.0.9"}, http_response={"code": 403},
            http_request={"url": {"path": "/api/v1/pods"}},
        )
    )  # fmt: skip
    line = visit("?range=all").locator("#rows .row")
    expect(line.locator(".status")).to_have_text("403")
    expect(line.locator(".method")).to_have_text("create")
    expect(line.locator(".what")).to_have_text("/api/v1/pods")
    expect(line.locator(".client")).to_have_text("alice")


def test_an_event_that_is_no_request_shows_its_message(site: Site, visit: Visit) -> None:
    site.evidence.add(make(b"raw", NOON, "haproxy", class_uid=6002, message="Server is DOWN"))
    expect(visit("?range=all").locator("#rows .what")).to_have_text("Server is DOWN")


def test_a_line_that_did_not_parse_is_flagged_and_shows_its_raw_text(
    site: Site, visit: Visit
) -> None:
    broken = make(b"gar\xffbled", NOON, "haproxy", class_uid=0, parse_error="no format fits")
    site.evidence.add(broken)
    what = visit("?range=all").locator("#rows .what")
    expect(what.locator(".flag")).to_have_text("unparsed")
    expect(what.locator(".flag")).to_have_attribute("title", "no format fits")
    expect(what.locator(".path")).to_have_text(r"gar\xffbled")


def test_the_query_narrows_the_rows_and_goes_into_the_address(busy: Site, visit: Visit) -> None:
    page = visit("")
    search(page, "status:>=500")
    expect(page.locator("#rows .row.s-2xx")).to_have_count(0)
    expect(page.locator("#rows .row.s-5xx")).not_to_have_count(0)
    assert address(page)["q"] == "status:>=500"


def test_a_shared_address_shows_the_same_search(busy: Site, visit: Visit) -> None:
    page = visit("?q=method:POST&range=24h")
    expect(page.locator("#q")).to_have_value("method:POST")
    expect(page.locator("#range")).to_have_value("24h")
    assert set(page.locator("#rows .method").all_inner_texts()) == {"POST"}


def test_back_and_forward_walk_through_the_searches(busy: Site, visit: Visit) -> None:
    page = visit("")
    search(page, "method:POST")
    expect(page.locator("#q")).to_have_value("method:POST")
    page.select_option("#range", "all")
    page.go_back()
    expect(page.locator("#range")).to_have_value("1h")
    page.go_back()
    expect(page.locator("#q")).to_have_value("")
    expect(page.locator("#rows .row")).to_have_count(100)
    page.go_forward()
    expect(page.locator("#q")).to_have_value("method:POST")


def test_older_rows_are_loaded_page_by_page_without_gap_or_repeat(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    expect(page.locator("#rows .row")).to_have_count(100)
    page.click("#older")
    expect(page.locator("#rows .row")).to_have_count(200)
    page.click("#older")
    expect(page.locator("#rows .row")).to_have_count(260)
    expect(page.locator("#older")).to_be_hidden()
    rows = sorted(busy.evidence.rows(), key=lambda row: (row["time"], row["index"]), reverse=True)
    assert shown(page) == [f"{row['shard']}:{row['index']}" for row in rows]


def test_a_relative_range_asks_from_then_until_now(busy: Site, visit: Visit) -> None:
    visit("?range=15m")
    params = next(p for path, p in busy.evidence.asked if path.endswith("/search"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", params["from"])
    assert "to" not in params


def test_a_custom_range_is_asked_for_in_utc_and_kept_in_the_address(
    busy: Site, visit: Visit
) -> None:
    page = visit("")
    page.select_option("#range", "custom")
    page.fill("#from", "2026-11-21T10:00:00")
    page.fill("#to", "2026-11-21T11:30:00")
    page.click("#custom button")
    expect(page.locator("#guide h2, #rows .row").first).to_be_visible()
    assert address(page) == {
        "log": "default",
        "from": "2026-11-21T10:00:00.000Z",
        "to": "2026-11-21T11:30:00.000Z",
    }


def tally(site: Site) -> dict[str, int]:
    """How many requests of each status class the log holds."""
    codes = [row.get("http_response", {}).get("code", 0) for row in site.evidence.rows()]
    return dict(Counter(f"{code // 100}xx" if code else "other" for code in codes))


def legend(page: Page) -> dict[str, int]:
    """The counts beside the chart."""
    keys = page.locator("#legend .key").all_inner_texts()
    return {name: int(count.replace(",", "")) for name, count in map(str.split, keys)}


def test_the_histogram_counts_what_the_search_finds(busy: Site, visit: Visit) -> None:
    page = visit("?range=all", until="#legend button")
    expect(page.locator("#summary")).to_have_text("260 entries · 100 entries shown")
    real = tally(busy)
    rest = 260 - real["5xx"] - real["4xx"]
    assert legend(page) == {"5xx": real["5xx"], "4xx": real["4xx"], "other": rest}


def test_the_histogram_takes_the_status_classes_of_a_server_that_counts_them(
    busy: Site, visit: Visit
) -> None:
    busy.evidence.splits_counts = True
    page = visit("?range=all", until="#legend button")
    assert legend(page) == tally(busy)
    assert sum(path.endswith("/histogram") for path, _ in busy.evidence.asked) == 1


def test_the_legend_narrows_the_search_to_a_status_class(busy: Site, visit: Visit) -> None:
    page = visit("?range=all&q=method:GET", until="#legend button")
    page.get_by_role("button", name="5xx").click()
    expect(page.locator("#q")).to_have_value("method:GET status:500..599")


def test_a_range_is_picked_in_the_histogram_with_the_mouse(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    expect(page.locator("#histogram .bar").first).to_be_attached()
    box = page.locator("#histogram").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 30)
    expect(page.locator("#histogram .tip b")).to_contain_text("entr")
    page.mouse.up()
    expect(page.locator("#range")).to_have_value("custom")
    state = address(page)
    rows = [row for row in busy.evidence.rows() if state["from"] <= row["time_dt"] < state["to"]]
    expect(page.locator("#rows .row")).to_have_count(min(100, len(rows)))
    page.go_back()
    expect(page.locator("#range")).to_have_value("all")


def test_a_range_is_picked_in_the_histogram_with_the_keyboard(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    expect(page.locator("#histogram .bar").first).to_be_attached()
    page.focus("#histogram")
    for key in ("Home", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#announcer")).to_contain_text("UTC")
    page.keyboard.press("Enter")
    expect(page.locator("#range")).to_have_value("custom")


def test_a_wrong_query_is_explained_at_the_query_box(busy: Site, visit: Visit) -> None:
    page = visit("")
    search(page, '"open')
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("the quotation is not closed")
    expect(problem).to_contain_text("Close the quotation.")
    expect(page.locator("#q")).to_have_attribute("aria-invalid", "")
    search(page, "method:GET")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_field_of_an_entry_is_filtered_for_and_excluded(busy: Site, visit: Visit) -> None:
    page = visit("?range=all")
    page.locator("#rows .row").first.click()
    field = page.locator(".leaf", has_text="http_method")
    value = field.locator(".value").inner_text()
    field.hover()
    field.get_by_label("Filter for this value").click()
    expect(page.locator("#q")).to_have_value(f"http_request.http_method:{value}")
    expect(page.locator("#rows .method").first).to_have_text(value)
    field.hover()
    field.get_by_label("Exclude this value").click()
    expect(page.locator("#q")).to_have_value(f"-http_request.http_method:{value}")
    expect(page.locator("#rows .method", has_text=re.compile(f"^{value}$"))).to_have_count(0)


def test_terms_are_quoted_when_they_must_be(site: Site, visit: Visit) -> None:
    page = visit("")
    found = page.evaluate(
        """async () => {
          const { term, withTerm } = await import("./js/query.js");
          return [
            term("path", "/api/v2"), term("agent", 'a "b" \\\\ c'), term("path", "/a*b"),
            term("message", ""), term("x", "(y)", true), withTerm("a OR b", "c", 1),
            withTerm("-c:1 d", "c", 1), withTerm("c:1", "c", 1),
          ];
        }"""
    )
    assert found == [
        "path:/api/v2", r'agent:"a \"b\" \\ c"', 'path:"/a*b"',
        'message:""', '-x:"(y)"', "(a OR b) c:1", "d c:1", "c:1",
    ]  # fmt: skip


def test_an_empty_log_says_how_to_send_the_first_lines(site: Site, visit: Visit) -> None:
    guide = visit("").locator("#guide")
    expect(guide).to_contain_text(f"{site.address}api/v1/logs/default/entries?as=haproxy")
    expect(guide).to_contain_text("log 127.0.0.1:5514 len 8192 format rfc5424 local0")
    expect(guide).to_contain_text("access_log syslog:server=127.0.0.1:5514,tag=nginx combined;")


def test_no_match_offers_the_widest_range(busy: Site, visit: Visit) -> None:
    busy.evidence.made[:] = [request(NOON, method="GET", path="/", status=200)]
    page = visit("?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z")
    expect(page.locator("#guide h2")).to_have_text("No entry matches")
    page.get_by_role("button", name="Search all time").click()
    expect(page.locator("#rows .row")).to_have_count(1)


def test_a_search_that_ran_out_of_time_says_so_and_can_go_on(busy: Site, visit: Visit) -> None:
    busy.evidence.faults.out_of_time = True
    page = visit("?from=2001-01-01T00:00:00Z", until="#older:not([hidden])")
    expect(page.locator("#summary")).to_contain_text("the time for one search ran out")
    expect(page.locator("#guide h2")).to_have_count(0)
    page.get_by_role("button", name="Look further back").click()
    expect(page.locator("#rows .row")).to_have_count(100)


def test_the_foot_shows_the_size_and_the_head_of_the_log(busy: Site, visit: Visit) -> None:
    page = visit("")
    expect(page.locator("#status")).to_contain_text("260 entries")
    expect(page.locator("#status")).to_contain_text(f"head {SHARD} 260")
    expect(page.locator("#verify")).to_have_text(re.compile(r"muniment verify http://127\.0\.0\.1"))
