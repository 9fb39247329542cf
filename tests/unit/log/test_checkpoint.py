"""Checkpoints, files of checkpoints, and proof files: read back, or refused as bad input."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rfc6962 import NaiveTree

from muniment.errors import InputError, ProofInvalid, SignatureInvalid
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.note import Note, Signer
from muniment.log.proof_file import MAGIC, MAX_PATH, ProofFile

SIGNER = Signer("log.example/a", bytes(32))
OTHER = Signer("log.example/b", bytes(32))
lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
hashes = st.binary(min_size=32, max_size=32)
sizes = st.integers(0, (1 << 63) - 1)
checkpoints = st.builds(Checkpoint, lines, sizes, hashes, st.lists(lines, max_size=2).map(tuple))

ENTRIES = [b"entry-%d" % number for number in range(21)]
TREE = NaiveTree(ENTRIES)
NOTE = SIGNER.sign(str(Checkpoint("log.example/a", 21, TREE.root(0, 21))))


@given(checkpoints)
def test_a_checkpoint_is_read_back(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(str(checkpoint)) == checkpoint
    assert Checkpoint.of_note(SIGNER.sign(str(checkpoint))) == checkpoint


ROOT = b64encode(bytes(32)).decode()
BAD_CHECKPOINTS = [
    "",
    "o\n1\n",
    f"o\n1\n{ROOT}",
    f"\n1\n{ROOT}\n",
    f"o\n01\n{ROOT}\n",
    f"o\n+1\n{ROOT}\n",
    f"o\n-1\n{ROOT}\n",
    f"o\n \n{ROOT}\n",
    f"o\n\u0661\n{ROOT}\n",
    f"o\n{'1' * 20}\n{ROOT}\n",
    f"o\n1\n{ROOT[:-4]}\n",
    f"o\n1\n{ROOT[:-1]}\n",
    f"o\n1\n{ROOT}\n\n",
    f"o\n1\n{ROOT}\n\next\n",
]


@pytest.mark.parametrize("text", BAD_CHECKPOINTS)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Checkpoint.parse(text)


@given(st.lists(checkpoints.map(lambda checkpoint: SIGNER.sign(str(checkpoint)))), st.data())
def test_notes_one_after_the_other_are_split_again(notes: list[str], data: st.DataObject) -> None:
    text = "".join(notes)
    assert split_notes(text) == notes
    length = data.draw(st.integers(0, len(text)))
    try:
        found = split_notes(text[:length])
    except InputError:
        return
    assert found == notes[: len(found)]


def test_a_checkpoint_with_cosignatures_is_split_as_one() -> None:
    cosigned = NOTE + OTHER.sign("x\n").removeprefix("x\n\n")
    assert split_notes(cosigned + NOTE) == [cosigned, NOTE]
    assert len(Note.parse(cosigned).signatures) == 2


@pytest.mark.fuzz
@given(st.one_of(st.text(), st.text("\n\u2014 o1A=")))
def test_any_text_as_a_checkpoint_is_read_or_refused(text: str) -> None:
    for parse in (Checkpoint.parse, Checkpoint.of_note, split_notes):
        for whole in (text, f"o\n1\n{ROOT}\n{text}", f"o\n{text}\n{ROOT}\n"):
            try:
                parse(whole)
            except InputError:
                continue


@given(sizes, st.lists(hashes, max_size=MAX_PATH), st.one_of(st.none(), st.binary()))
def test_a_proof_file_is_read_back(index: int, path: list[bytes], extra: bytes | None) -> None:
    proof = ProofFile(index, tuple(path), NOTE, extra)
    assert ProofFile.parse(str(proof)) == proof
    assert ProofFile.parse(str(proof)).checkpoint.size == 21


def proof_of(index: int) -> ProofFile:
    return ProofFile(index, tuple(TREE.path(index, 0, 21)), NOTE, ENTRIES[index])


@pytest.mark.parametrize("index", range(21))
def test_a_proof_file_proves_its_entry_and_no_other(index: int) -> None:
    proof = ProofFile.parse(str(proof_of(index)))
    assert proof.extra == ENTRIES[index]
    assert proof.check(ENTRIES[index], [SIGNER.verifier]).size == 21
    with pytest.raises(ProofInvalid):
        proof.check(ENTRIES[index - 1], [SIGNER.verifier])
    with pytest.raises(SignatureInvalid):
        proof.check(ENTRIES[index], [OTHER.verifier])
    other = ProofFile((index + 1) % 21, proof.path, NOTE)
    with pytest.raises(ProofInvalid):
        other.check(ENTRIES[index], [SIGNER.verifier])


def test_a_proof_under_a_checkpoint_that_another_trusted_key_signed_is_refused() -> None:
    """A witness vouches for a checkpoint; it is not the log."""
    text = str(Checkpoint("log.example/a", 21, TREE.root(0, 21)))
    proof = ProofFile(0, proof_of(0).path, OTHER.sign(text))
    with pytest.raises(ProofInvalid, match="own key"):
        proof.check(ENTRIES[0], [SIGNER.verifier, OTHER.verifier])


def test_every_flipped_bit_of_a_proof_file_is_refused() -> None:
    """`extra` is outside the proof; everything else is under it."""
    text = str(ProofFile(5, proof_of(5).path, NOTE)).encode()
    for offset in range(len(text)):
        for bit in range(8):
            flipped = text[:offset] + bytes([text[offset] ^ 1 << bit]) + text[offset + 1 :]
            with pytest.raises((InputError, ProofInvalid, SignatureInvalid, UnicodeDecodeError)):
                ProofFile.parse(flipped.decode()).check(ENTRIES[5], [SIGNER.verifier])


WHOLE = str(proof_of(5))
BAD_PROOFS = [
    WHOLE.replace("v1", "v2"),
    WHOLE.replace("index 5", "index 05"),
    WHOLE.replace("index 5", "index -5"),
    WHOLE.replace("index 5\n", ""),
    WHOLE.replace("extra ", "extra  "),
    WHOLE.replace("\n\n", "\n", 1),
    WHOLE.replace("index 5\n", "index 5\nAAAA\n"),
    WHOLE.replace("index 5\n", f"index 5\n{ROOT}\n" + f"{ROOT}\n" * MAX_PATH),
    WHOLE.replace(MAGIC, f"{MAGIC} "),
    WHOLE.removesuffix("\n"),
    MAGIC,
    "",
]


@pytest.mark.parametrize("text", BAD_PROOFS)
def test_a_malformed_proof_file_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        ProofFile.parse(text)


@pytest.mark.fuzz
@given(st.text())
def test_any_text_as_a_proof_file_is_read_or_refused(text: str) -> None:
    for whole in (text, f"{MAGIC}\n{text}", f"{MAGIC}\nindex 1\n{text}\n\n{NOTE}", WHOLE + text):
        try:
            ProofFile.parse(whole)
        except InputError:
            continue
