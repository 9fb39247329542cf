"""Server-sent events: however the stream is cut, the events are the same."""

from __future__ import annotations

from itertools import pairwise

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
    chunks = [STREAM[a:b] for a, b in pairwise(places)]
    assert list(events(chunks)) == EVENTS


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_error(data: bytes) -> None:
    list(events([data]))


@pytest.mark.parametrize("end", [b"\n", b""])
def test_an_event_without_end_is_refused(end: bytes) -> None:
    with pytest.raises(InputError, match="more than"):
        list(events([b"data: " + b"x" * 8_000 + end] * (MAX_EVENT // 8_000)))
