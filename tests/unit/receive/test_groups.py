"""From records to entries: headers that say what they must, and records that no entry can hold."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment import kernel
from muniment.errors import TooLarge
from muniment.kernel import MAX_ENTRY_BYTES
from muniment.receive.groups import Records, pack, pack_records
from muniment.receive.header import Origin

AT = "2026-01-01T00:00:00.000000Z"
ORIGIN = Origin("otlp", "otlp", "192.0.2.1:5", "shipper")


def entries(chunks: list[kernel.Chunk]) -> list[tuple[dict[str, Any], bytes]]:
    found = []
    for chunk in chunks:
        for entry in kernel.unpack(chunk.payload):
            assert len(entry) <= MAX_ENTRY_BYTES
            header, _, raw = entry.partition(b"\n")
            found.append((json.loads(header), raw))
    return found


def test_a_header_says_what_is_known_in_its_order() -> None:
    origin = Origin("kafka", "otlp/nginx", "p:1", "s", 7, "batch", (("topic", 'a"\n'), ("x", "ä")))
    ((header, raw),) = entries(pack_records([b"line\n"], AT, "node", origin))
    assert list(header) == ["at", "node", "via", "peer", "from", "as", "seq", "id", "about"]
    assert header["as"] == "otlp/nginx"
    assert header["about"] == {"topic": 'a"\n', "x": "ä"}
    assert raw == b"line\n"


def test_a_header_leaves_out_what_is_not_known() -> None:
    ((header, _),) = entries(pack_records([b"x"], AT, "node", Origin("syslog-tcp", "syslog")))
    assert header == {"at": AT, "node": "node", "via": "syslog-tcp", "as": "syslog"}


def test_text_that_is_no_utf8_does_not_break_a_header() -> None:
    origin = Origin("splunk", "text", about=(("host", "\ud800"),))
    ((header, _),) = entries(pack_records([b"x"], AT, "node", origin))
    assert header["about"] == {"host": "?"}


def test_groups_keep_their_order_source_and_number() -> None:
    groups = [
        Records("text", [b"a", b"b"], {"topic": "t"}, 10),
        Records("nginx", [b"c"]),
        Records("text", [b"d"], {"topic": "t"}, 15),
    ]
    found = entries(pack(groups, AT, "node", ORIGIN))
    assert [raw for _, raw in found] == [b"a", b"b", b"c", b"d"]
    assert [header.get("seq") for header, _ in found] == [10, 10, None, 15]
    assert [header["as"] for header, _ in found] == ["text", "text", "nginx", "text"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=6))
def test_every_record_comes_back_whole_and_in_order(sizes: list[int]) -> None:
    records = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    found = entries(pack_records(records, AT, "node", ORIGIN))
    whole: list[bytes] = []
    for header, raw in found:
        part = header.get("part")
        if part is None or part["number"] == 1:
            whole.append(raw)
        else:
            whole[-1] += raw
        if part is not None and part["number"] == part["of"]:
            assert part["bytes"] == len(whole[-1])
            assert part["sha256"] == sha256(whole[-1]).hexdigest()
    assert whole == records


def test_the_longest_record_is_one_entry_and_one_byte_more_is_two() -> None:
    ((_, _),) = entries(pack_records([b""], AT, "node", ORIGIN))
    (chunk,) = pack_records([b""], AT, "node", ORIGIN)
    room = MAX_ENTRY_BYTES - len(kernel.unpack(chunk.payload)[0])
    assert len(entries(pack_records([b"x" * room], AT, "node", ORIGIN))) == 1
    parts = entries(pack_records([b"x" * (room + 1)], AT, "node", ORIGIN))
    assert [header["part"]["number"] for header, _ in parts] == [1, 2]


def test_what_is_said_about_records_is_bounded() -> None:
    origin = Origin("splunk", "text", about=(("host", "x" * 20_000),))
    with pytest.raises(TooLarge):
        pack_records([b"x"], AT, "node", origin)
    assert pack_records([], AT, "node", origin) == []
