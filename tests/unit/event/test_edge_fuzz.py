"""Any bytes as lines of the sources of the edge: a row each, no fault of a parser, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.event.decode import decode
from muniment.event.schema import SCHEMA

DATA = Path(__file__).parents[2] / "data"
FILES = {
    "traefik": ("traefik/traefik_clf.log", "traefik/traefik_json.log", "traefik/own.log"),
    "envoy": ("envoy/access_text.log", "envoy/app.log", "envoy/envoy-http-crawl-non_statics.log"),
    "ingress-nginx": ("nginx/ingress_nginx.log", "nginx/access_upstreaminfo.log"),
    "caddy": ("caddy/caddy.log",),
    "kong": ("kong/kong.log",),
    "dataplaneapi": ("dataplaneapi/dataplaneapi.log",),
    "f5": ("f5/audit.log",),
    "citrix": ("citrix/ns.log",),
}
GOOD = {
    source: [line for name in names for line in (DATA / name).read_bytes().splitlines() if line][
        :30
    ]
    for source, names in FILES.items()
}
_ODD = st.sampled_from(
    [
        *(b'"', b" ", b"\\", b"[", b"]", b"{", b"}", b" - ", b"-", b"=", b'" 200 5 "', b"\xff"),
        *(b"\x00", b"\t", b":", b",", b"99999999999999999999", b"null", b"\\u0000"),
        b"\xe2\x80\xa8",
    ]
)


@st.composite
def spoilt(draw: st.DrawFn, source: str) -> bytes:
    raw = draw(st.sampled_from(GOOD[source]))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        raw = raw[:start] + draw(_ODD | st.binary(max_size=6)) + raw[end:]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.booleans()) else raw


def check(source: str, raws: list[bytes]) -> None:
    header = b'{"at":"2026-11-20T23:11:00Z","node":"n","via":"http","as":"%s"}\n' % source.encode()
    table = decode([header + raw for raw in raws], log="l", shard="s", first=0)
    table.validate(full=True)
    assert table.schema == SCHEMA
    for row, raw in zip(table.to_pylist(), raws, strict=True):
        assert "parser failed" not in (row["parse_error"] or ""), (row["parse_error"], raw)
        assert row["class_uid"] or row["parse_error"], raw
        assert row["unmapped"] is None or isinstance(json.loads(row["unmapped"]), dict)
        if row["metadata"] is None or raw[:1] not in (b"\x0a", b"\x12", b"\x1a"):
            assert row["raw_data"] == raw.decode("utf-8", "backslashreplace")


@pytest.mark.fuzz
@pytest.mark.parametrize("source", FILES)
@given(data=st.data())
def test_any_bytes_are_a_row(source: str, data: st.DataObject) -> None:
    raws = data.draw(st.lists(st.binary(max_size=80) | spoilt(source), min_size=1, max_size=6))
    check(source, raws)


@pytest.mark.parametrize("source", FILES)
def test_every_line_cut_at_every_place_is_a_row(source: str) -> None:
    for line in GOOD[source]:
        check(source, [line[:end] for end in range(1, len(line), 7)])


@pytest.mark.parametrize("source", FILES)
def test_long_lines_take_no_more_than_their_length(source: str) -> None:
    """Patterns that try again from every place would not end."""
    for piece in (
        b'" 200 5 "',
        b' - User "',
        b"a=",
        b'a="',
        b"[",
        b"x ",
        b'","a":"',
        b"01420002:5: ",
    ):
        for line in GOOD[source][:3]:
            check(source, [line[:40] + piece * (60_000 // len(piece))])
