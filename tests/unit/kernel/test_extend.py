"""The incremental tree: what `extend` and `root` compute is the tree of RFC 6962."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rfc6962 import NaiveTree

from muniment.kernel.choice import Kernel

ENTRIES = [b"entry-%d" % number for number in range(600)]
TREE = NaiveTree(ENTRIES)


def leaves(start: int, stop: int) -> bytes:
    return b"".join(TREE.leaves[start:stop])


def test_leaf_hashes_are_those_of_the_entries(kernel: Kernel) -> None:
    (chunk,) = kernel.pack_records(ENTRIES, b"")
    assert chunk.leaves == kernel.leaf_hashes(chunk.payload) == leaves(0, 600)


@pytest.mark.parametrize("size", range(66))
def test_every_split_of_a_small_tree(kernel: Kernel, size: int) -> None:
    for middle in range(size + 1):
        frontier, _ = kernel.extend(b"", 0, leaves(0, middle))
        assert len(frontier) == 32 * middle.bit_count()
        assert kernel.root(frontier) == TREE.root(0, middle)
        frontier, _ = kernel.extend(frontier, middle, leaves(middle, size))
        assert kernel.root(frontier) == TREE.root(0, size)


@given(st.lists(st.integers(0, 600), max_size=12))
def test_any_splits_of_a_larger_tree(kernel: Kernel, cuts: list[int]) -> None:
    """The frontier is the same however the leaves came, and the tile hashes join up."""
    frontier, completed = b"", b""
    for start, stop in pairwise(sorted({0, *cuts, 600})):
        frontier, tiles = kernel.extend(frontier, start, leaves(start, stop))
        assert len(tiles) <= 1
        completed += b"".join(tiles)
        assert kernel.root(frontier) == TREE.root(0, stop)
    assert completed == TREE.root(0, 256) + TREE.root(256, 512)
    assert frontier == TREE.root(0, 512) + TREE.root(512, 576) + TREE.root(576, 592) + TREE.root(
        592, 600
    )


def test_tile_hashes_of_the_second_level(kernel: Kernel) -> None:
    """65,536 leaves complete one hash there, whether they come at once or not."""
    whole = kernel.leaf_hashes(b"\x00\x00" * 65_536)
    _, tiles = kernel.extend(b"", 0, whole)
    assert [len(level) for level in tiles] == [256 * 32, 32]
    frontier, _ = kernel.extend(b"", 0, whole[: 32 * 65_530])
    frontier, last = kernel.extend(frontier, 65_530, whole[32 * 65_530 :])
    assert last == [tiles[0][-32:], tiles[1]]
    assert frontier == kernel.root(frontier) == tiles[1]


@pytest.mark.parametrize(("frontier", "size"), [(b"", 1), (bytes(32), 0), (bytes(64), 4)])
def test_a_frontier_that_does_not_fit_the_size_is_refused(
    kernel: Kernel, frontier: bytes, size: int
) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        kernel.extend(frontier, size, bytes(32))
