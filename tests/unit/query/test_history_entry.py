"""Change events read from entries, whole and in parts."""

from __future__ import annotations

from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.change import change, record
from muniment.capture.snapshot import Snapshot
from muniment.errors import NoSuchEntry
from muniment.query.history.entry import ChangeEntry, read_change

NAME = "haproxy:lb1/server/web/w2"
EVENT = change(
    NAME,
    Snapshot({"weight": 1}),
    Snapshot({"weight": 2.5, "text": "x" * 900}, names=["n"], by={"user": "alice"}),
    time="2026-11-21T10:00:05Z",
    since="2026-11-21T10:00:00Z",
)
assert EVENT is not None
RAW = record(EVENT)


def entry(raw: bytes, **header: object) -> bytes:
    return orjson.dumps({"at": "2026-11-21T10:00:06Z", "as": "change", **header}) + b"\n" + raw


def parts(raw: bytes, size: int) -> list[bytes]:
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    told = {"of": len(pieces), "bytes": len(raw), "sha256": sha256(raw).hexdigest()}
    return [entry(piece, part={"number": n, **told}) for n, piece in enumerate(pieces, 1)]


def read(entries: list[bytes], index: int = 0) -> ChangeEntry:
    def one(at: int) -> bytes:
        if not 0 <= at < len(entries):
            raise NoSuchEntry("beyond the end")
        return entries[at]

    return read_change(one, index)


def test_a_whole_event() -> None:
    found = read([entry(RAW, stream="lb1/haproxy:lb1", **{"from": "t"})])
    assert (found.fault, found.agent, found.size) == ("", "lb1", len(RAW))
    assert found.state == EVENT["state"]
    assert found.texts("names") == ["n"]
    assert found.members("by") == {"user": "alice"}
    assert found.fields()[0] == {"path": "/text"}
    assert read([entry(RAW, **{"from": "t"})]).agent == "t"


def test_an_event_in_parts() -> None:
    found = read([entry(b"other"), *parts(RAW, 100), entry(b"other")], 1)
    assert (found.fault, found.event) == ("", EVENT)


def test_parts_that_do_not_make_it_up() -> None:
    pieces = parts(RAW, 100)
    forged = [*pieces[:-1], pieces[-1][:-1] + b"]"]
    for entries, fault in (
        (pieces[:-1], "is missing"),
        ([pieces[0], *pieces[2:], pieces[1]], "does not follow"),
        ([pieces[0], *parts(b"y" * len(RAW), 100)[1:]], "does not follow"),
        (pieces[1:], "first of its parts"),
        (forged, "SHA-256"),
        ([entry(RAW, part={"number": 1, "of": 10**9, "bytes": 10**12})], "more than is read"),
    ):
        found = read(entries)
        assert fault in found.fault
        assert found.state is None


def test_a_state_that_is_not_what_it_claims_is_said() -> None:
    forged = orjson.dumps({**EVENT, "state": {"weight": 3}})
    found = read([entry(forged)])
    assert found.fault == "its state does not have the version that it claims"
    assert found.state == {"weight": 3}


@pytest.mark.parametrize("depth", [252, 300, 1_000, 100_000])
def test_a_state_without_a_bottom_is_not_read(depth: int) -> None:
    found = read([entry(b'{"object":"a","state":{"a":' + b"[" * depth + b"]" * depth + b"}}")])
    assert found.fault
    assert found.state is None


@pytest.mark.fuzz
@given(
    st.lists(
        st.binary(max_size=80)
        | st.tuples(st.integers(0, len(RAW)), st.binary(max_size=4)).map(
            lambda cut: entry(RAW[: cut[0]] + cut[1] + RAW[cut[0] :])
        )
        | st.dictionaries(
            st.sampled_from(["number", "of", "bytes", "sha256"]),
            st.none() | st.integers(-1, 3) | st.text(max_size=3),
        ).map(lambda part: entry(b"{}", part=part)),
        min_size=1,
        max_size=4,
    )
)
def test_any_bytes_are_an_event_or_have_a_fault(entries) -> None:
    found = read(entries)
    assert found.fault or found.event.get("change") == "delete" or found.state is not None
    assert isinstance(found.fields(), list)
    assert isinstance(found.agent, str)
