"""Whether a signed tree goes on from the one here: told by its own tiles, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mirroring import LIFE, PEER, Pulled, SimulatedSource, live, new_mirror, records, shown
from small_shard import SIGNER
from tests.rfc6962 import NaiveTree

from muniment.errors import Corrupt
from muniment.fleet.mirror.consistency import check_continues
from muniment.log.checkpoint import Checkpoint
from muniment.log.replay import Damaged

Tile = Callable[[int, int, int], bytes]


def entries(count: int, other_from: int = 1 << 30) -> list[bytes]:
    return [b"%d%s" % (n, b" other" if n >= other_from else b"") for n in range(count)]


def tiles(tree: NaiveTree) -> Tile:
    def tile(level: int, number: int, width: int) -> bytes:
        step = 256**level
        places = range(number * 256, number * 256 + width)
        return b"".join(tree.root(place * step, (place + 1) * step) for place in places)

    return tile


def checkpoint(tree: NaiveTree, size: int) -> Checkpoint:
    return Checkpoint("a/b", size, tree.root(0, size))


@pytest.mark.parametrize("new", [2, 3, 7, 8, 9, 64, 255, 256, 257, 600])
def test_any_tree_goes_on_from_its_beginnings_and_from_no_other(new: int) -> None:
    tree = NaiveTree(entries(new))
    for old in {1, 2, 3, 4, 5, 6, 8, 63, 128, 255, 256, 257, 512, new - 1} & set(range(1, new)):
        theirs = checkpoint(tree, new)
        check_continues(checkpoint(tree, old), theirs, tiles(tree), PEER)
        for place in {0, old // 2, old - 1}:
            mine = checkpoint(NaiveTree(entries(old, other_from=place)), old)
            with pytest.raises(Corrupt, match="another history") as error:
                check_continues(mine, theirs, tiles(tree), PEER)
            assert not isinstance(error.value, Damaged)


def test_tiles_that_are_not_of_the_signed_tree_prove_nothing() -> None:
    tree, other = NaiveTree(entries(300)), NaiveTree(entries(300, other_from=40))
    with pytest.raises(Damaged, match="signed root"):
        check_continues(checkpoint(tree, 100), checkpoint(tree, 300), tiles(other), PEER)
    with pytest.raises(Damaged, match="hashes"):
        check_continues(
            checkpoint(tree, 100), checkpoint(tree, 300), lambda *_place: bytes(31), PEER
        )


def test_an_empty_mirror_goes_on_with_anything() -> None:
    tree = NaiveTree(entries(3))
    check_continues(Checkpoint("a/b", 0, bytes(32)), checkpoint(tree, 3), tiles(tree), PEER)


def test_a_mirror_that_cannot_go_on_finds_the_other_history() -> None:
    """A source that was put back: what it writes at the same place looks like spoilt bytes."""
    mirror = new_mirror()
    Pulled(mirror, SimulatedSource(shown(live(LIFE[:3])))).run()
    other = shown(live([*LIFE[:2], records(600, 77), "publish"]))
    pulled = Pulled(mirror, SimulatedSource(other))
    doubts: list[int] = []
    pulled.puller.doubted = lambda: doubts.append(1)
    pulled.puller.step()
    note = other.checkpoint()
    assert note is not None and mirror.size == 273
    Checkpoint.of_note(note)
    mirror.compare(note, PEER)
    with pytest.raises(Corrupt, match="another history"):
        mirror.check_continues(note, PEER, other.reader.tile)
    assert mirror.evidence == (note, mirror.checkpoint())
    whole = shown(live())
    note = whole.checkpoint()
    assert note is not None
    mirror.check_continues(note, PEER, whole.reader.tile)
    small = SIGNER.sign(str(Checkpoint("a/b", 1, bytes(32))))
    mirror.check_continues(small, PEER, whole.reader.tile)
