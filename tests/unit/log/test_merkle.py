"""Proofs: all of them for all sizes up to 300, against RFC 6962 as it is written."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from tests.rfc6962 import NaiveTree

from muniment.errors import ProofInvalid
from muniment.log.merkle import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    perfect_root,
    range_root,
)

LARGEST = 300
TREE = NaiveTree([b"entry-%d" % number for number in range(LARGEST)])
SIZES = pytest.mark.parametrize("size", range(1, LARGEST + 1))


@cache
def subtree(level: int, number: int) -> bytes:
    return perfect_root(TREE.leaves[number << level : (number + 1) << level])


@cache
def root(size: int) -> bytes:
    return TREE.root(0, size)


@SIZES
def test_all_inclusion_proofs_of_a_size(size: int) -> None:
    for index in range(size):
        proof = inclusion_proof(index, size, subtree)
        assert proof == TREE.path(index, 0, size)
        check_inclusion(index, size, TREE.leaves[index], proof, root(size))


@SIZES
def test_all_consistency_proofs_to_a_size(size: int) -> None:
    for old in range(size + 1):
        proof = consistency_proof(old, size, subtree)
        assert proof == ([] if old == 0 else TREE.proof(old, size))
        check_consistency(old, size, proof, root(old), root(size))


def altered(hashes: list[bytes], random: Random) -> list[list[bytes]]:
    """A proof with a bit flipped, a hash dropped, doubled, added, or in another place."""
    more = [[*hashes, bytes(32)], [bytes(32), *hashes]]
    if hashes:
        at = random.randrange(len(hashes))
        flipped = bytearray(hashes[at])
        flipped[random.randrange(32)] ^= 1 << random.randrange(8)
        before, after = hashes[:at], hashes[at + 1 :]
        more += [[*before, bytes(flipped), *after], [*before, *after]]
        more += [[*before, hashes[at], hashes[at], *after], hashes[::-1]]
    return [proof for proof in more if proof != hashes]


@SIZES
def test_altered_inclusion_proofs_are_refused(size: int) -> None:
    random = Random(size)
    for index in {random.randrange(size) for _ in range(8)}:
        proof = inclusion_proof(index, size, subtree)
        leaf = TREE.leaves[index]
        for other in altered(proof, random):
            with pytest.raises(ProofInvalid):
                check_inclusion(index, size, leaf, other, root(size))
        for wrong in {index - 1, index + 1, size, -1, random.randrange(size)} - {index}:
            with pytest.raises(ProofInvalid):
                check_inclusion(wrong, size, leaf, proof, root(size))
        with pytest.raises(ProofInvalid):
            check_inclusion(index, size, leaf_hash(b"other"), proof, root(size))
        with pytest.raises(ProofInvalid):
            check_inclusion(index, size, leaf, proof, root(size - 1))


@SIZES
def test_altered_consistency_proofs_are_refused(size: int) -> None:
    random = Random(size)
    for old in {random.randrange(1, size) for _ in range(8)} if size > 1 else ():
        proof = consistency_proof(old, size, subtree)
        for other in altered(proof, random):
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, other, root(old), root(size))
        for roots in [(bytes(32), root(size)), (root(old), bytes(32)), (bytes(32), bytes(32))]:
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, proof, *roots)
    for path, other_root in [([bytes(32)], root(size)), ([], bytes(32))]:
        with pytest.raises(ProofInvalid):
            check_consistency(size, size, path, root(size), other_root)


def test_a_proof_for_another_pair_of_sizes_is_refused() -> None:
    """A pair is refused unless the proof happens to be that of the pair as well."""
    for old, new in [(3, 7), (64, 100), (65, 129), (128, 256), (255, 256)]:
        proof = consistency_proof(old, new, subtree)
        for other in range(1, new):
            if other != old:
                with pytest.raises(ProofInvalid):
                    check_consistency(other, new, proof, root(old), root(new))


def test_the_empty_tree() -> None:
    assert root(0) == EMPTY_ROOT == range_root(0, 0, subtree)
    check_consistency(0, 5, [], EMPTY_ROOT, root(5))
    check_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    for path, old_root in [([bytes(32)], EMPTY_ROOT), ([], bytes(32))]:
        with pytest.raises(ProofInvalid):
            check_consistency(0, 5, path, old_root, root(5))
    with pytest.raises(ProofInvalid):
        check_inclusion(0, 0, bytes(32), [], EMPTY_ROOT)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (6, 5)])
def test_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof(index, size, subtree)


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5)])
def test_no_consistency_proof_backwards(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        consistency_proof(old, new, subtree)
    with pytest.raises(ProofInvalid):
        check_consistency(old, new, [], bytes(32), bytes(32))


def test_a_leaf_is_never_a_node() -> None:
    """The prefixes of RFC 6962: an entry that looks like two hashes does not hash like them."""
    assert leaf_hash(bytes(64)) != node_hash(bytes(32), bytes(32))
    assert leaf_hash(b"\x01" + bytes(64)) != node_hash(bytes(32), bytes(32))
