"""Answers and tasks come from other machines: whatever they are, the error is Muniment's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError
from muniment.log.note import Signer
from muniment.log.verify import SegmentWork
from muniment.trust.executor_claims import check_claim
from muniment.trust.executor_messages import (
    Answer,
    CheckpointClaim,
    Task,
    check_of,
    decode_answer,
    decode_task,
    encode,
)

SIGNER = Signer("a/b", bytes(range(32)))
HASHES = st.binary(max_size=100)
NUMBERS = st.integers(-(1 << 62), (1 << 64) - 1) | st.integers(0, 600)
ANSWERS = st.builds(
    Answer,
    number=NUMBERS,
    first=NUMBERS,
    start=HASHES,
    size=NUMBERS,
    frontier=HASHES,
    signature=HASHES,
    length=st.sampled_from([100, 84, 0]) | NUMBERS,
    sealed=st.booleans(),
    tiles=st.lists(HASHES, max_size=4),
    checkpoints=st.lists(
        st.builds(CheckpointClaim, NUMBERS, NUMBERS, HASHES, HASHES, st.text(max_size=80)),
        max_size=3,
    ),
    roots=st.lists(st.tuples(NUMBERS, HASHES), max_size=3),
)


@pytest.mark.fuzz
@given(st.binary(max_size=400))
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    for decode in (decode_answer, decode_task):
        try:
            decode(data)
        except InputError:
            continue


@pytest.mark.fuzz
@given(ANSWERS, st.integers(0, 600))
def test_a_claim_that_cannot_be_is_refused(answer: Answer, first: int) -> None:
    """None of these is signed, so that none holds unless it claims nothing."""
    work = SegmentWork(Path(f"a/b/{first:020d}.seg"), SIGNER.verifier)
    claim = check_of(answer, work.path)
    try:
        check_claim(claim, work, 100)
    except InputError:
        return
    assert claim.size == claim.first == first and claim.frontier == claim.start


@pytest.mark.fuzz
@given(ANSWERS)
def test_what_is_sent_arrives(answer: Answer) -> None:
    assert decode_answer(encode(answer)) == answer


def test_a_task_arrives() -> None:
    task = Task(7, "/data/logs/a/b/0.seg", str(SIGNER.verifier), [1, 2])
    assert decode_task(encode(task)) == task
