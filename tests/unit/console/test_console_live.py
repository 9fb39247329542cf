"""The live tail: rows arrive, can be held back, are bounded, and survive a cut connection."""

from __future__ import annotations

import time
from collections.abc import Callable

from console_server import Site
from console_traffic import request
from playwright.sync_api import Page, expect

Visit = Callable[[str], Page]


def log(site: Site, path: str, status: int = 200) -> None:
    """Append a request to the log behind the page."""
    site.evidence.add(request(int(time.time() * 1000), method="GET", path=path, status=status))


def connected(page: Page) -> None:
    """Wait until the tail says that it is live."""
    expect(page.locator("#live")).to_have_attribute("data-state", "connected")


def paths(page: Page) -> list[str]:
    """The paths on the page, top to bottom."""
    return page.locator("#rows .path").all_text_contents()


def test_new_entries_arrive_on_top(busy: Site, visit: Visit) -> None:
    page = visit("?live=1")
    connected(page)
    for number in range(3):
        log(busy, f"/live/{number}")
    expect(page.locator("#rows .path").first).to_have_text("/live/2")
    assert paths(page)[:3] == ["/live/2", "/live/1", "/live/0"]
    expect(page.locator("#live-state")).to_have_text("Live")


def test_the_tail_follows_the_query(site: Site, visit: Visit) -> None:
    page = visit("?live=1&q=status:>=500")
    connected(page)
    log(site, "/fine", 200)
    log(site, "/broken", 503)
    expect(page.locator("#rows .path").first).to_have_text("/broken")
    assert paths(page) == ["/broken"]


def test_a_paused_tail_counts_what_waits_and_shows_it_afterwards(busy: Site, visit: Visit) -> None:
    page = visit("?live=1")
    connected(page)
    page.get_by_role("button", name="Pause").click()
    before = paths(page)
    for number in range(4):
        log(busy, f"/later/{number}")
    expect(page.locator("#live-state")).to_have_text("Paused: 4 new")
    assert paths(page) == before
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#rows .path").first).to_have_text("/later/3")
    assert len(paths(page)) == len(before) + 4


def test_the_page_keeps_a_bounded_number_of_rows(busy: Site, visit: Visit) -> None:
    page = visit("?live=1")
    connected(page)
    for number in range(700):
        log(busy, f"/many/{number}")
    expect(page.locator("#rows .path").first).to_have_text("/many/699")
    expect(page.locator("#rows .row")).to_have_count(500)
    assert paths(page)[-1] == "/many/200"


def test_a_cut_tail_reconnects_and_resumes_behind_the_last_entry(busy: Site, visit: Visit) -> None:
    busy.evidence.faults.cut_tail_after = 1
    page = visit("?live=1")
    connected(page)
    log(busy, "/before")
    expect(page.locator("#rows .path").first).to_have_text("/before")
    last = f"{busy.evidence.rows()[-1]['shard']}:{len(busy.evidence.made) - 1}"
    busy.evidence.faults.cut_tail_after = None
    connected(page)
    while len(busy.evidence.followers) != 1 or len(busy.evidence.resumed_from) < 2:
        page.wait_for_timeout(50)
    log(busy, "/after")
    expect(page.locator("#rows .path").first).to_have_text("/after")
    assert busy.evidence.resumed_from[:2] == [None, last]


def test_going_back_to_search_ends_the_tail(busy: Site, visit: Visit) -> None:
    page = visit("?live=1")
    connected(page)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#live")).to_be_hidden()
    while busy.evidence.followers:  # the server notices with its next ping
        page.wait_for_timeout(50)
    page.go_back()
    connected(page)


def test_a_refused_tail_is_explained_and_not_tried_for_ever(site: Site, visit: Visit) -> None:
    page = visit('?live=1&q="open')
    expect(page.get_by_role("alert")).to_contain_text("the quotation is not closed")
    expect(page.locator("#live")).to_be_hidden()


def test_events_are_read_alike_however_the_stream_is_cut(site: Site, visit: Visit) -> None:
    stream = (
        ": ping\n\nevent: entry\nid: a:1\ndata: {\"x\":\ndata: 1}\n\n"
        "data:no space\r\nid: a:2\r\n\r\nretry: 5\nid\n\nevent: entry\n\ndata: last\rid: é\r\r\n"
    )  # fmt: skip
    found = visit("").evaluate(
        """async (stream) => {
          const { EventParser } = await import("./js/sse.js");
          const read = (pieces) => {
            const events = [];
            const parser = new EventParser((event) => events.push(event));
            for (const piece of pieces) parser.push(piece);
            return JSON.stringify(events);
          };
          const whole = read([stream]);
          const different = [];
          for (let i = 0; i <= stream.length; i += 1) {
            if (read([stream.slice(0, i), stream.slice(i)]) !== whole) different.push(i);
          }
          if (read([...stream]) !== whole) different.push("letters");
          return [JSON.parse(whole), different];
        }""",
        stream,
    )
    assert found == [
        [
            {"type": "entry", "id": "a:1", "data": '{"x":\n1}'},
            {"type": "message", "id": "a:2", "data": "no space"},
            {"type": "message", "id": "é", "data": "last"},
        ],
        [],
    ]
