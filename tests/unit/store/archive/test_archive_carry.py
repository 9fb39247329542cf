"""Everything sealed reaches the store byte for byte, whatever happens on the way."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from carried_shard import (
    LOG,
    SEGMENTS,
    SHARD,
    SIGNER,
    Node,
    grow,
    originals_of,
    same_bytes,
    settle,
    simulated,
)
from simulator import Fault, SimulatedStore

from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.store.names import Kind, parse, segment_key
from muniment.store.tree import Companion


def test_sealed_segments_go_to_the_store_and_the_one_being_written_does_not(node: Node) -> None:
    originals = originals_of(node)
    archive = node.archive()
    settle(archive)
    same_bytes(node, store_of(node), originals)
    assert len(originals) == SEGMENTS
    assert node.covered[-1] == archive.covered(LOG, SHARD) == node.size


def test_a_companion_is_put_before_its_segment_and_the_verifier_first(node: Node) -> None:
    settle(node.archive())
    puts = [c.key for c in store_of(node).calls if c.operation == "put_if_absent"]
    kinds = [name.kind for key in puts if (name := parse(key)) is not None]
    assert kinds == [Kind.VERIFIER, *[Kind.TREE, Kind.SEGMENT] * SEGMENTS]


def test_companions_in_the_store_vouch_for_their_segments(node: Node) -> None:
    settle(node.archive())
    contents = store_of(node).backing.contents()
    for key in contents:
        if key.endswith(".tree"):
            companion = Companion.decode(contents[key], key)
            companion.check(SIGNER.verifier, key)
            assert companion.length == len(contents[key.replace(".tree", ".seg")])


def test_what_is_confirmed_is_not_asked_for_again(node: Node) -> None:
    settle(node.archive())
    calls = len(store_of(node).calls)
    settle(node.archive())
    assert len(store_of(node).calls) == calls


def test_what_is_sealed_later_follows(node: Node) -> None:
    archive = node.archive()
    settle(archive)
    grow(node.data, 2)
    settle(archive)
    same_bytes(node, store_of(node), originals_of(node))


def test_the_last_segment_is_carried_once_it_is_sealed(node: Node) -> None:
    """As one is whose age came while nothing else did."""
    last = node.directory / segment_names(PosixDisk(), node.directory)[-1]
    last.unlink()  # it holds no entries: the one before it is now the last
    path = node.sealed()[-1].with_name(segment_names(PosixDisk(), node.directory)[-1])
    path.chmod(0o644)
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size == int(path.stem)
    path.chmod(0o444)
    settle(archive)
    assert archive.covered(LOG, SHARD) > node.size
    assert segment_key(LOG, SHARD, node.size) in store_of(node).backing.contents()


def test_books_that_were_lost_are_made_anew_without_another_put(node: Node) -> None:
    settle(node.archive())
    node.lose_books()
    store = store_of(node)
    before = len(store.calls)
    archive = node.archive()
    settle(archive)
    assert not [c for c in store.calls[before:] if c.writes]
    assert archive.covered(LOG, SHARD) == node.size


def test_broken_books_are_made_anew(node: Node) -> None:
    settle(node.archive())
    (node.books / f"{LOG}.{SHARD}.json").write_bytes(b'{"0": [')
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size


def test_the_outbox_is_empty_once_all_is_carried(node: Node) -> None:
    settle(node.archive())
    assert list((node.books / f"{LOG}.{SHARD}").iterdir()) == []


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.LATE, Fault.BUSY, Fault.DOUBLED])
@pytest.mark.parametrize("books", [True, False], ids=["books kept", "books lost"])
def test_a_crash_at_any_call_is_gone_on_from(
    node: Node, tmp_path: Path, fault: Fault, books: bool
) -> None:
    settle(node.archive())
    calls = len(store_of(node).calls)
    node.lose_books()
    originals = originals_of(node)
    assert calls > 20
    for number in range(calls):
        store = simulated()
        one = replace(node, data=tmp_path / f"crash-{number}", stores=[store])
        shutil.copytree(node.data, one.data)
        store.faults.at_call(number, fault)
        one.archive().lanes[0]._try_round()  # and then the process is gone
        store.faults.clear()
        if not books and one.books.exists():
            one.lose_books()
        store.backing.land()
        archive = one.archive()
        settle(archive)
        same_bytes(one, store, originals)
        assert archive.covered(LOG, SHARD) == node.size, number
        shutil.rmtree(one.data)


@pytest.mark.parametrize("seed", range(5))
def test_faults_at_random_only_delay(node: Node, seed: int) -> None:
    store = store_of(node)
    store.faults.at_random(seed, 0.3, [Fault.LOST, Fault.LATE, Fault.BUSY, Fault.UNREACHABLE])
    archive = node.archive()
    for _ in range(100):
        archive.lanes[0]._try_round()
        if archive.covered(LOG, SHARD) == node.size:
            break
    store.faults.clear()
    settle(archive)
    same_bytes(node, store, originals_of(node))


def test_a_segment_that_does_not_verify_is_never_carried(node: Node) -> None:
    path = node.sealed()[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    archive = node.archive()
    settle(archive)
    contents = store_of(node).backing.contents()
    assert f"logs/{LOG}/{SHARD}/{path.name}" not in contents
    assert len([key for key in contents if key.endswith(".seg")]) == SEGMENTS - 1
    assert archive.covered(LOG, SHARD) == 2 * 97
    assert node.actions() == ["archive.conflict"]


def test_what_has_expired_is_neither_carried_nor_counted(node: Node) -> None:
    node.rules["minimum"] = lambda log, shard: 4 * 97
    for path in node.sealed()[:2]:
        path.unlink()
    archive = node.archive()
    settle(archive)
    segments = [k for k in store_of(node).backing.contents() if k.endswith(".seg")]
    assert len(segments) == SEGMENTS - 2
    assert archive.covered(LOG, SHARD) == node.size
    assert all(lag.waiting == 0 for lag in archive.status().stores[0].lags)


def test_the_books_forget_what_has_expired(node: Node) -> None:
    minimum = [0]
    node.rules["minimum"] = lambda log, shard: minimum[0]
    archive = node.archive()
    settle(archive)
    minimum[0] = 4 * 97
    for path in node.sealed()[:2]:
        path.unlink()
    settle(archive)
    books = (node.books / f"{LOG}.{SHARD}.json").read_bytes()
    assert sorted(json.loads(books))[0] == f"{4 * 97:020d}"
    assert "verifier" in json.loads(books)
    assert archive.covered(LOG, SHARD) == node.size


def test_attachments_are_carried_and_a_broken_one_is_not(node: Node) -> None:
    from hashlib import sha256

    folder = node.data / "attachments" / LOG
    digests = []
    for body in (b"a body", b"", b"x" * 5_000_000):
        digest = sha256(body).hexdigest()
        (folder / digest[:2]).mkdir(parents=True, exist_ok=True)
        (folder / digest[:2] / digest).write_bytes(body)
        digests.append(digest)
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / ("00" * 32)).write_bytes(b"not that")
    (folder / "00" / f".{'00' * 32}.part").write_bytes(b"a draft")
    settle(node.archive())
    contents = store_of(node).backing.contents()
    prefix = f"logs/{LOG}/attachments/"
    found = sorted(k for k in contents if k.startswith(prefix))
    assert found == sorted(f"{prefix}{d[:2]}/{d}" for d in digests)
    assert node.actions() == ["archive.conflict"]


def store_of(node: Node) -> SimulatedStore:
    store = node.stores[0]
    assert isinstance(store, SimulatedStore)
    return store
