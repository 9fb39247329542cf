"""Verification of a store: what was done to any object, by bit, by version, by absence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from archived_shard import (
    ARCHIVED,
    AT_ONCE,
    FIRSTS,
    LOG,
    NAME,
    SIZE,
    WRITTEN,
    archive,
    archived,
)
from fake_clock import FakeClock
from simulator import Fault, SimulatedStore
from small_shard import DIRECTORY, OTHER, SIGNER, flips

from muniment import kernel
from muniment.errors import NotFound, StoreFailing
from muniment.log.disk import PosixDisk
from muniment.log.report import Report
from muniment.log.segment import TRAILER
from muniment.store.archive.books import Books, Copy, Item, thing_of
from muniment.store.archive.confirmed import Confirmed
from muniment.store.names import attachment_key, segment_key, tree_key, verifier_key
from muniment.store.port import Lock, Mode
from muniment.store.tree import Companion
from muniment.trust.store_objects import Promise
from muniment.trust.stores import StoreQuestion, segment_bytes, take_inventory, verify_store

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STRIDE = 64
KEYS = [verifier_key(LOG, NAME)] + [
    make(LOG, NAME, first) for first in FIRSTS for make in (segment_key, tree_key)
]
CONTENTS = archived().backing.contents()


def verified(store: SimulatedStore, **question: object) -> Report:
    asked = {"insist": AT_ONCE, **question}
    return verify_store(store, StoreQuestion(**asked))  # type: ignore[arg-type]


def files(report: Report) -> list[str]:
    return [finding.file for finding in report.findings]


def problems(report: Report) -> str:
    return "\n".join(map(str, report.findings))


def test_an_untouched_store_is_intact() -> None:
    store = archived()
    done: list[int] = []
    inventory = take_inventory(store)
    question = StoreQuestion(trust=ARCHIVED, keys=[SIGNER.verifier], insist=AT_ONCE, jobs=2)
    report = verify_store(store, question, inventory, done.append)
    assert report.intact and report.notes == []
    (shard,) = report.shards
    assert (shard.origin, shard.size, shard.segments) == ("a/b", SIZE, len(FIRSTS))
    assert sum(done) == shard.bytes == segment_bytes(inventory) - TRAILER.size * len(FIRSTS)


FULL = {verifier_key(LOG, NAME), segment_key(LOG, NAME, FIRSTS[1]), tree_key(LOG, NAME, FIRSTS[0])}
"""Objects of which every byte is changed, as against every eighth one."""


def stripes() -> Iterator[tuple[str, int]]:
    for key in KEYS:
        width = STRIDE if key in FULL else 8 * STRIDE
        for at in range(0, len(CONTENTS[key]), width):
            yield key, at


@pytest.mark.parametrize(("key", "start"), list(stripes()))
def test_a_changed_byte_of_any_object_is_found(key: str, start: int) -> None:
    """One bit of a byte at a time; which of the eight goes round from byte to byte."""
    step = 1 if key in FULL else 8
    data = CONTENTS[key]
    for offset in range(start, min(start + STRIDE * step, len(data)), step):
        bit = 1 << (offset // step) % 8
        store = archived()
        store.backing.poke(key, data[:offset] + bytes([data[offset] ^ bit]) + data[offset + 1 :])
        assert key in files(verified(store)), offset


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "swapped"])
def test_a_damaged_object_is_found(key: str, damage: str) -> None:
    store, data = archived(), CONTENTS[key]
    others = [
        one for one in KEYS if one.rpartition(".")[2] == key.rpartition(".")[2] and one != key
    ]
    changed = {
        "missing": None,
        "empty": b"",
        "cut": data[: len(data) // 2],
        "longer": data + b"\0",
        "swapped": CONTENTS[others[0]] if others else b"x",
    }
    store.backing.poke(key, changed[damage])
    report = verified(store)
    assert any(Path(file).name == Path(key).name for file in files(report)), report.findings


def test_a_missing_segment_is_named_with_its_entries() -> None:
    store = archived()
    store.backing.poke(segment_key(LOG, NAME, FIRSTS[1]), None)
    assert f"is missing: entries {FIRSTS[1]} to {FIRSTS[2] - 1}" in problems(verified(store))


def test_the_last_segment_may_be_on_its_way() -> None:
    clock = FakeClock()
    store = SimulatedStore("primary", clock=clock)
    archive(store)
    store.backing.poke(segment_key(LOG, NAME, FIRSTS[-1]), None)
    report = verified(store, now=clock.now())
    assert "look again" in report.notes[0] and not report.other
    report = verified(store, now=clock.now() + timedelta(hours=2))
    assert segment_key(LOG, NAME, FIRSTS[-1]) in files(report)


def test_a_shortened_store_is_found_with_what_others_remember() -> None:
    report = verified(archived(segments=2), trust=ARCHIVED)
    assert "rolled back or cut short" in problems(report)
    assert "another" in problems(
        verified(archived(), keys=[OTHER.verifier])
    ) or "trusted" in problems(verified(archived(), keys=[OTHER.verifier]))


def forged(first: int) -> Iterator[Companion]:
    """What somebody who knows the format could put in place of a companion."""
    true = Companion.decode(CONTENTS[tree_key(LOG, NAME, first)], "")
    yield replace(true, length=true.length + 1)
    yield replace(true, digest=bytes(32))
    yield replace(true, after_failure=not true.after_failure)
    if true.start:
        yield replace(true, start=bytes(len(true.start)))
    if true.notes:
        yield replace(true, notes=true.notes[:-1])
    if true.first // 256 == true.size // 256:
        leaves = true.leaves[:-32]
        end = kernel.extend(true.start, true.first, leaves)[0]
        yield replace(true, size=true.size - 1, leaves=leaves, end=end, notes=())


@pytest.mark.parametrize("first", FIRSTS)
def test_a_companion_that_tells_another_story_is_found(first: int) -> None:
    """Its checksum is right; it is compared with its segment."""
    key = tree_key(LOG, NAME, first)
    for companion in forged(first):
        store = archived()
        store.backing.poke(key, companion.encode())
        report = verified(store)
        assert key in files(report) or "checkpoints" in problems(report), companion


@pytest.mark.parametrize("place", [(LOG, "c"), ("other", NAME)])
def test_a_shard_under_the_name_of_another_is_found(place: tuple[str, str]) -> None:
    store = archived()
    for key in KEYS:
        store.put(key.replace(f"logs/{LOG}/{NAME}/", f"logs/{place[0]}/{place[1]}/"), CONTENTS[key])
    (finding,) = verified(store).findings
    assert finding.file == verifier_key(*place)
    assert finding.problem == "is the key of another shard, a/b"


def confirmed(data: Path, store: SimulatedStore) -> Confirmed:
    """The books of a node that has carried and read back all that a store holds now."""
    items = {}
    for first in FIRSTS:
        keys = (tree_key(LOG, NAME, first), segment_key(LOG, NAME, first))
        things = [thing_of(store.get(key)) for key in keys]
        items[f"{first:020d}"] = Item(things, 1, copies={store.name: Copy(["", ""], 0, 1)})
    books = Books(PosixDisk(), data / "archive" / f"{LOG}.{NAME}.json", lambda: 0.0)
    with books.change() as known:
        known.update(items)
    books.flush(now=True)
    return Confirmed(data, store.name)


def test_the_newest_objects_are_missed_by_the_node_that_read_them_back(tmp_path: Path) -> None:
    known = confirmed(tmp_path, archived())
    store = archived(segments=2)
    assert verified(store).intact, "as whole as the store of an hour ago"
    gone = [make(LOG, NAME, first) for first in FIRSTS[2:] for make in (segment_key, tree_key)]
    assert files(verified(store, confirmed=known)) == gone
    assert verified(archived(), confirmed=known).intact
    assert verified(store, confirmed=Confirmed(tmp_path, "backup")).intact
    assert verified(store, confirmed=Confirmed(tmp_path / "none", "primary")).intact


def test_what_comes_while_a_store_is_verified_is_not_missed(tmp_path: Path) -> None:
    known = confirmed(tmp_path, archived())
    store = archived(segments=3)
    inventory = take_inventory(store)
    archive(store)
    question = StoreQuestion(insist=AT_ONCE, confirmed=known)
    assert verify_store(store, question, inventory).intact


def test_objects_that_belong_to_no_log_are_named() -> None:
    store = archived()
    strangers = ["rubbish", "logs/a/b/00.seg", "logs/a/b/tiles/1", "logs/a/x", "logs/a/b/c/d"]
    for key in strangers:
        store.put(key, b"x")
    store.put("check/1-2", b"x")
    assert sorted(set(files(verified(store)))) == sorted(strangers)


@pytest.mark.parametrize("key", KEYS)
def test_an_overwritten_object_is_named_and_its_first_version_read(key: str) -> None:
    store = archived(versioned=True)
    store.put(key, b"something else")
    report = verified(store)
    assert files(report) == [key] and "overwritten at" in problems(report)
    assert report.shards[0].findings == [] and report.shards[0].size == SIZE


def test_the_same_bytes_put_again_are_no_finding() -> None:
    store = archived(versioned=True)
    store.put(KEYS[1], CONTENTS[KEYS[1]])
    report = verified(store)
    assert report.intact and "1 objects were put again" in report.notes[0]


@pytest.mark.parametrize("key", KEYS)
def test_a_delete_marker_is_found_and_undone(key: str) -> None:
    store = archived(versioned=True)
    store.backing.hide(key)
    store.backing.hide(key)
    report = verified(store)
    assert files(report) == [key] and "hidden at" in problems(report)
    assert report.shards[0].size == SIZE

    mended = verified(store, repair=True)
    assert mended.intact and "which was removed" in mended.notes[0]
    assert verified(store).intact and verified(store).notes == []
    assert store.get(key) == CONTENTS[key]


def test_a_marker_that_cannot_be_removed_stays_a_finding() -> None:
    store = archived(versioned=True)
    store.backing.hide(KEYS[1])
    store.faults.always(Fault.CREDENTIALS, "remove_version", "")
    assert "cannot be removed" in problems(verified(store, repair=True))


def test_only_a_marker_that_is_left_is_a_loss() -> None:
    store = archived(versioned=True)
    store.remove(KEYS[1])
    store.backing.hide(KEYS[1])
    assert "only a delete marker is left" in problems(verified(store))


def test_locks_that_are_weaker_than_promised_are_found() -> None:
    clock = FakeClock()
    store = SimulatedStore("primary", versioned=True, lockable=True, clock=clock)
    year = timedelta(days=365)
    archive(store, lock=Lock(Mode.GOVERNANCE, clock.now() + year))
    fine = {LOG: Promise(Mode.GOVERNANCE, year)}
    assert verified(store, promises=fine).intact
    assert verified(store, promises={LOG: Promise(Mode.OFF)}).intact
    hard = verified(store, promises={LOG: Promise(Mode.COMPLIANCE, year)})
    assert sorted(files(hard)) == sorted(KEYS) and "mode governance" in problems(hard)
    long = verified(store, promises={LOG: Promise(Mode.GOVERNANCE, 7 * year)})
    assert sorted(files(long)) == sorted(KEYS) and "is locked until" in problems(long)


def test_objects_without_any_lock_are_found() -> None:
    promises = {LOG: Promise(Mode.GOVERNANCE, timedelta(days=30))}
    report = verified(archived(versioned=True, lockable=True), promises=promises)
    assert sorted(files(report)) == sorted(KEYS) and "not locked at all" in problems(report)


def test_what_needs_no_lock_any_more_is_not_asked_for_one() -> None:
    """A companion outlives its segment; put into a new backup then, it is never locked."""
    clock = FakeClock()
    store = SimulatedStore("backup", versioned=True, lockable=True, clock=clock)
    archive(store)
    promises = {LOG: Promise(Mode.COMPLIANCE, timedelta(days=30))}
    late = clock.now() + timedelta(days=16)
    assert not verified(store, promises=promises, now=clock.now()).intact
    assert verified(store, promises=promises, now=late).intact


def test_every_byte_of_an_attachment_counts() -> None:
    body = b"attached"
    key = attachment_key(LOG, sha256(body).digest())
    store = archived()
    store.put(key, body)
    assert verified(store).intact
    for _, data in flips(body, 0, len(body)):
        store.backing.poke(key, data)
        assert files(verified(store)) == [key]
    store.backing.poke(key, body[:-1])
    assert files(verified(store)) == [key]


def test_a_store_that_lags_says_which_entries_it_has_not() -> None:
    behind, ahead = archived(segments=2), archived()
    behind.name = "backup"
    report = verified(behind, others=[ahead])
    assert report.intact
    assert report.notes == [
        f"backup lags behind primary: entries {FIRSTS[2]} to {SIZE - 1} of a/b are there and "
        "not here"
    ]
    assert verified(ahead, others=[behind]).notes == []


def test_a_shard_that_the_store_has_nothing_of_is_missed_too() -> None:
    ahead, behind = archived(), archived()
    for key, data in CONTENTS.items():
        ahead.put(key.replace("/b/", "/c/"), data)
    assert any("of a/c are there" in note for note in verified(behind, others=[ahead]).notes)


def test_an_empty_store_is_said_to_be_empty() -> None:
    with pytest.raises(NotFound, match="any log"):
        verified(SimulatedStore())
    with pytest.raises(NotFound, match="the log other"):
        verified(archived(), log="other")


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.CREDENTIALS, Fault.CUT])
def test_a_store_that_does_not_answer_is_no_finding(fault: Fault) -> None:
    store = archived()
    store.page = 2
    store.faults.always(fault, "", "")
    with pytest.raises(StoreFailing):
        verified(store)


def test_a_store_that_is_busy_now_and_then_is_read_all_the_same() -> None:
    store = archived()
    store.faults.at_random(7, 0.1, [Fault.BUSY, Fault.UNREACHABLE])
    assert verified(store).intact


def test_a_bit_that_flips_on_the_way_is_found() -> None:
    store = archived()
    store.faults.next(Fault.FLIPPED, "get_range", segment_key(LOG, NAME, FIRSTS[0]))
    assert not verified(store).intact


def test_the_store_holds_what_the_node_wrote() -> None:
    for first in FIRSTS:
        key = segment_key(LOG, NAME, first)
        assert CONTENTS[key] == WRITTEN.disk.read(DIRECTORY / Path(key).name)
