"""Server-sent events: however the stream is cut, the events are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.cli.sse import MAX_EVENT, Event, events
from muniment.errors import InputError

STREAM = (
    ": a comment\n\nevent: entry\nid: a:1\ndata: one\ndata: two\n\n"
    "data:three\r\n\r\nid: a:2\rdata: four \u2028 \x85\r\rdata: cut short"
).encode()
EVENTS = [
    Event("entry", "one\ntwo", "a:1"),
    Event("message", "three", "a:1"),
    Event("message", "four \u2028 \x85", "a:2"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert list(events(chunks)) == EVENTS


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_error(data: bytes) -> None:
    list(events([data]))


@pytest.mark.parametrize("line", [b"data: x\n", b"data: x"])
def test_an_event_without_end_is_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="more than"):
        list(events([line] * (MAX_EVENT // 4)))
