"""Capture chains: what an agent numbered, chained and signed, computed again from the shards."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.capture.chain import Head, first_head, heads_text, next_head, payload_of
from muniment.capture.parcel import Parcel
from muniment.clock import rfc3339
from muniment.errors import InputError
from muniment.log import Batch, Shard
from muniment.log.note import Signer
from muniment.log.report import StreamReport
from muniment.receive.groups import Records, pack
from muniment.receive.header import Origin
from muniment.trust.chains import check_chains, read_agent_keys
from muniment.trust.stream import Parcel as Seen
from muniment.trust.stream import Stream

AGENT = Signer("lb1", b"a" * 32)
ACCESS = "lb1/access"


def parcels(sizes: Sequence[int], stream: str = ACCESS) -> list[Parcel]:
    """Chained parcels of so many records each."""
    made, head, seq = [], first_head(stream), 1
    for size in sizes:
        records = [f"line {seq + place}".encode() for place in range(size)]
        made.append(Parcel(stream, seq, head.hex(), "haproxy", records))
        head = next_head(head, seq, size, payload_of(records))
        seq += size
    return made


def head_after(parcel: Parcel) -> Head:
    payload = payload_of(parcel.records)
    hash_ = next_head(bytes.fromhex(parcel.prev), parcel.seq, len(parcel.records), payload)
    return Head(parcel.seq + len(parcel.records) - 1, hash_)


def signed(*heads: Parcel, signer: Signer = AGENT, seq: int = 1) -> Parcel:
    """The parcel in which the agent signs where its streams stand."""
    text = heads_text("lb1", {parcel.stream: head_after(parcel) for parcel in heads})
    record = json.dumps({"action": "capture.heads", "note": signer.sign(text)}).encode()
    prev = first_head("lb1/agent").hex()
    return Parcel("lb1/agent", seq, prev, "muniment", [record])


def write(directory: Path, *shards: Sequence[Parcel], other: bytes = b"no parcel") -> dict:
    """Makes shards with these parcels and other entries between them."""
    sizes, at = {}, datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
    for number, listed in enumerate(shards):
        path = directory / f"{number:08x}"
        signer = Signer(f"muniment.local/edge/{number:08x}", b"s" * 32)
        path.parent.mkdir(parents=True, exist_ok=True)
        Shard.create(path, signer)
        shard = Shard.open(path, signer, log="edge")
        for parcel in listed:
            at += datetime.timedelta(seconds=1)
            group = Records(
                parcel.source, parcel.records, {}, parcel.seq, parcel.stream, parcel.prev
            )
            origin = Origin("capture", "", sender="edge-agent")
            shard.submit(Batch(pack([group], rfc3339(at), "n1", origin))).result(60)
            plain = Records("text", [other])
            shard.submit(Batch(pack([plain], rfc3339(at), "n1", Origin("http", "")))).result(60)
        sizes[path] = shard.size
        shard.close()
    return sizes


def checked(directory: Path, *shards: Sequence[Parcel], keys=()) -> dict[str, StreamReport]:
    found = check_chains("edge", write(directory, *shards), keys)
    return {report.stream: report for report in found.streams}


def test_a_whole_stream_has_nothing_to_say(tmp_path: Path) -> None:
    made = parcels([3, 1, 500, 2])
    report = checked(tmp_path, made)[ACCESS]
    assert (report.records, report.first, report.last) == (506, 1, 506)
    assert (report.lost, report.repeated, report.reordered, report.problems) == (0, 0, 0, [])
    assert report.sender == "edge-agent"


def test_parcels_over_several_shards_are_one_stream(tmp_path: Path) -> None:
    made = parcels([2] * 9)
    report = checked(tmp_path, made[0::3], made[1::3], made[2::3])[ACCESS]
    assert (report.records, report.lost, report.problems) == (18, 0, [])


def test_a_parcel_that_is_gone_is_missing(tmp_path: Path) -> None:
    made = parcels([10, 20, 30, 40])
    report = checked(tmp_path, [made[0], made[3]])[ACCESS]
    assert list(report.missing) == [(11, 60)]
    assert report.lost == 50
    assert report.problems == []


def test_what_was_before_the_log_is_not_missing(tmp_path: Path) -> None:
    made = parcels([10, 20, 30])
    report = checked(tmp_path, made[1:])[ACCESS]
    assert (report.first, report.last, report.lost, report.problems) == (11, 60, 0, [])


def test_a_record_too_long_for_an_entry_counts_once(tmp_path: Path) -> None:
    records = [b"short", b"x" * 200_000, b"end"]
    first = Parcel(ACCESS, 1, first_head(ACCESS).hex(), "text", records)
    head = head_after(first)
    after = Parcel(ACCESS, 4, head.hash.hex(), "text", [b"more"])
    report = checked(tmp_path, [first, after])[ACCESS]
    assert (report.records, report.lost, report.problems) == (4, 0, [])


def test_repeated_and_reordered_parcels_are_counted(tmp_path: Path) -> None:
    one, two, three = parcels([5, 5, 5])
    report = checked(tmp_path, [one, three, one, two, three])[ACCESS]
    assert (report.records, report.repeated, report.reordered) == (15, 2, 1)
    assert (report.lost, report.problems) == (0, [])


def test_a_changed_record_breaks_the_link(tmp_path: Path) -> None:
    one, two, three = parcels([5, 5, 5])
    forged = Parcel(ACCESS, 6, two.prev, "haproxy", [b"forged", *two.records[1:]])
    report = checked(tmp_path, [one, forged, three])[ACCESS]
    (problem,) = report.problems
    assert "11 to 15" in problem
    assert "not chained to the one before it" in problem


def test_two_parcels_of_the_same_records_contradict_each_other(tmp_path: Path) -> None:
    one, two = parcels([5, 5])
    forged = Parcel(ACCESS, 6, two.prev, "haproxy", [b"forged", *two.records[1:]])
    (problem,) = checked(tmp_path, [one, two, forged])[ACCESS].problems
    assert "is another than" in problem


def test_a_stream_that_begins_again_is_one_finding_and_counted_anew(tmp_path: Path) -> None:
    """As after the loss of the agent's state directory."""
    before, after = parcels([5, 5]), rewritten(parcels([3, 4, 9]))
    shards = write(tmp_path, [*before, *after, signed(after[-1])])
    reports = [r for r in check_chains("edge", shards).streams if r.stream == ACCESS]
    assert [(r.first, r.last, r.lost, r.repeated) for r in reports] == [
        (1, 10, 0, 0),
        (1, 16, 0, 0),
    ]
    (problem,) = reports[1].problems
    assert "begins again with record 1" in problem
    assert "after record 10" in problem
    assert reports[0].problems == []
    assert reports[1].signed_heads == 1


def test_a_parcel_that_is_cut_otherwise_contradicts(tmp_path: Path) -> None:
    one, two, three = parcels([5, 5, 5])
    inner = Parcel(ACCESS, 6, two.prev, "haproxy", [b"forged", *two.records[1:3]])
    over = Parcel(ACCESS, 6, two.prev, "haproxy", [*two.records, *three.records])
    (problem,) = checked(tmp_path / "a", [one, two, three, inner])[ACCESS].problems
    assert "is another than that of 6 to 10" in problem
    (problem,) = checked(tmp_path / "b", [one, two, over])[ACCESS].problems
    assert "6 to 15" in problem


def rewritten(made: Sequence[Parcel]) -> list[Parcel]:
    """A whole chain of other records, as somebody with the log's keys could write it."""
    forged, head = [], first_head(ACCESS)
    for parcel in made:
        records = [b"forged" for _ in parcel.records]
        forged.append(Parcel(ACCESS, parcel.seq, head.hex(), "haproxy", records))
        head = next_head(head, parcel.seq, len(records), payload_of(records))
    return forged


def test_a_chain_written_anew_contradicts_the_signed_head(tmp_path: Path) -> None:
    made = parcels([5, 5])
    found = checked(tmp_path, [*rewritten(made), signed(made[-1])], keys=[AGENT.verifier])
    (problem,) = found[ACCESS].problems
    assert "signed another head" in problem


def test_parcels_cut_anew_contradict_the_signed_head(tmp_path: Path) -> None:
    made = parcels([5, 5])
    assert checked(tmp_path / "a", [*parcels([5, 9]), signed(made[-1])])[ACCESS].problems
    assert checked(tmp_path / "b", [signed(made[-1]), *parcels([5, 9])])[ACCESS].problems


def test_signed_heads_are_compared_whether_they_come_before_or_after(tmp_path: Path) -> None:
    made = parcels([5, 5])
    for name, order in (("a", [*made, signed(made[-1])]), ("b", [signed(made[-1]), *made])):
        report = checked(tmp_path / name, order, keys=[AGENT.verifier])[ACCESS]
        assert (report.signed_heads, report.ahead, report.problems) == (1, 0, [])


def test_what_was_signed_but_is_not_here_is_said(tmp_path: Path) -> None:
    made = parcels([5, 5, 5])
    report = checked(tmp_path, [made[0], signed(made[-1])])[ACCESS]
    assert (report.last, report.ahead, report.lost) == (5, 10, 0)


def test_heads_under_another_key_are_not_trusted(tmp_path: Path) -> None:
    (made,) = parcels([5])
    forger = Signer("lb1", b"f" * 32)
    found = checked(tmp_path, [made, signed(made, signer=forger)], keys=[AGENT.verifier])
    (problem,) = found["lb1/agent"].problems
    assert "cannot be trusted" in problem
    assert found[ACCESS].signed_heads == 0


def test_without_the_agents_key_that_is_said(tmp_path: Path) -> None:
    (made,) = parcels([5])
    found = check_chains("edge", write(tmp_path, [made, signed(made)]))
    (note,) = found.notes
    assert "--agent-keys" in note


def test_keys_stand_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "agents"
    path.write_text(f"# the agents\n{AGENT.verifier}\n\n")
    assert read_agent_keys(path) == [AGENT.verifier]
    for wrong in (b"nonsense\n", b"\xff"):
        path.write_bytes(wrong)
        with pytest.raises(InputError):
            read_agent_keys(path)


def seen(parcel: Parcel) -> Seen:
    from hashlib import sha256

    digest = sha256(payload_of(parcel.records)).digest()
    return Seen(parcel.seq, len(parcel.records), bytes.fromhex(parcel.prev), digest, "s/0")


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.data())
def test_whatever_order_and_whatever_loss(sizes, data) -> None:
    made = parcels(sizes)
    kept = data.draw(st.lists(st.sampled_from(made), max_size=20))
    stream = Stream(ACCESS)
    for parcel in kept:
        stream.take(seen(parcel))
    there = {parcel.seq + n for parcel in kept for n in range(len(parcel.records))}
    assert stream.problems == []
    assert stream.records == len(there)
    assert stream.repeated == len(kept) - len({parcel.seq for parcel in kept})
    if there:
        assert (stream.first, stream.last) == (min(there), max(there))
        expected = set(range(min(there), max(there) + 1)) - there
        assert {n for a, b in stream.missing() for n in range(a, b + 1)} == expected


@pytest.mark.fuzz
@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Seen,
            st.integers(1, 50),
            st.integers(1, 9),
            st.binary(min_size=32, max_size=32),
            st.binary(min_size=32, max_size=32),
            st.just("s/0"),
        ),
        max_size=40,
    )
)
def test_parcels_of_anybody_keep_the_books_straight(listed: list[Seen]) -> None:
    stream = Stream(ACCESS)
    for parcel in listed:
        stream.take(parcel)
    gaps = list(stream.missing())
    assert all(a <= b for a, b in gaps)
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(gaps))
    lost = sum(b - a + 1 for a, b in gaps)
    if listed:
        assert stream.records + lost == stream.last - stream.first + 1
