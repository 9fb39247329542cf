"""Keys, roots, proofs, a checkpoint and a cosignature made by the Go team's tlog and note.

The numbers in tests/data/vectors/tlog.json come from golang.org/x/mod/sumdb.
"""

from __future__ import annotations

import json
from base64 import b64decode
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from muniment import kernel
from muniment.errors import InputError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    perfect_root,
)
from muniment.log.note import COSIGNATURE_ED25519, Note, Signer, Verifier, key_id

FILE = Path(__file__).parents[2] / "data" / "vectors" / "tlog.json"
VECTORS = json.loads(FILE.read_text())
ROOTS = {
    int(size): b64decode(root)
    for size, root in VECTORS["roots_b64 (leaf i = ASCII 'entry-<i>')"].items()
}
LARGEST = max(ROOTS)


@cache
def leaves() -> list[bytes]:
    return [leaf_hash(b"entry-%d" % number) for number in range(LARGEST)]


@cache
def subtree(level: int, number: int) -> bytes:
    return perfect_root(leaves()[number << level : (number + 1) << level])


def numbers(name: str) -> list[int]:
    """`size=1000,index=999` is 1000 and 999."""
    return [int(part.partition("=")[2]) for part in name.split(",")]


def hashes(proof: list[str]) -> list[bytes]:
    return [b64decode(text) for text in proof]


@pytest.mark.parametrize("size", ROOTS)
def test_roots(size: int) -> None:
    frontier, _ = kernel.extend(b"", 0, b"".join(leaves()[:size]))
    assert kernel.root(frontier) == ROOTS[size]


@pytest.mark.parametrize("name", VECTORS["inclusion_proofs"])
def test_inclusion_proofs(name: str) -> None:
    size, index = numbers(name)
    proof = hashes(VECTORS["inclusion_proofs"][name])
    frontier, _ = kernel.extend(b"", 0, b"".join(leaves()[:size]))
    check_inclusion(index, size, leaves()[index], proof, kernel.root(frontier))
    assert inclusion_proof(index, size, subtree) == proof


@pytest.mark.parametrize("name", VECTORS["consistency_proofs"])
def test_consistency_proofs(name: str) -> None:
    old, new = numbers(name)
    proof = hashes(VECTORS["consistency_proofs"][name])
    check_consistency(old, new, proof, ROOTS[old], ROOTS[new])
    assert sorted(consistency_proof(old, new, subtree)) == sorted(proof)
    assert consistency_proof(old, new, subtree) == proof


def test_keys() -> None:
    signer = Signer.parse(VECTORS["log_skey"])
    assert signer.export() == VECTORS["log_skey"]
    assert str(signer.verifier) == VECTORS["log_vkey"]
    assert Verifier.parse(VECTORS["log_vkey"]) == signer.verifier
    same = Signer(signer.verifier.name, bytes.fromhex(VECTORS["log_seed_hex"]))
    assert same.export() == VECTORS["log_skey"]


def test_the_checkpoint() -> None:
    verifier = Verifier.parse(VECTORS["log_vkey"])
    note = Note.parse(VECTORS["checkpoint"])
    assert note.check([verifier]) == [verifier]
    checkpoint = Checkpoint.parse(note.text)
    assert checkpoint == Checkpoint("example.com/audit", 70_000, ROOTS[70_000])
    assert Signer.parse(VECTORS["log_skey"]).sign(str(checkpoint)) == VECTORS["checkpoint"]


def test_the_cosignature_line_is_read_and_checks_out() -> None:
    """Type 4: time (8 bytes) and an Ed25519 signature over the message with that time."""
    note = Note.parse(VECTORS["checkpoint"] + VECTORS["cosignature_line"])
    log, witness = note.signatures
    assert (log.name, witness.name) == ("example.com/audit", "witness.example/w1")
    name, id_text, key_text = VECTORS["witness_vkey"].split("+", 2)
    kind, public = b64decode(key_text)[0], b64decode(key_text)[1:]
    assert (name, kind) == (witness.name, COSIGNATURE_ED25519)
    assert witness.id.hex() == id_text == key_id(name, COSIGNATURE_ED25519, public).hex()
    assert witness.blob[:8] == (1_700_000_000).to_bytes(8, "big")
    message = f"cosignature/v1\ntime 1700000000\n{note.text}"
    assert message == VECTORS["cosigned_message"]
    Ed25519PublicKey.from_public_bytes(public).verify(witness.blob[8:], message.encode())


def test_a_cosigned_checkpoint_is_still_the_logs() -> None:
    note = Note.parse(VECTORS["checkpoint"] + VECTORS["cosignature_line"])
    verifier = Verifier.parse(VECTORS["log_vkey"])
    assert note.check([verifier]) == [verifier]
    alone = Note.parse(note.text + "\n" + VECTORS["cosignature_line"])
    with pytest.raises(SignatureInvalid):
        alone.check([verifier])
    with pytest.raises(InputError):
        Verifier.parse(VECTORS["witness_vkey"])
