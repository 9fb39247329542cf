"""What somebody kept of a log: receipts, checkpoints and proof files are read, all else refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.errors import InputError
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Signer
from muniment.log.proof_file import MAGIC, ProofFile
from muniment.trust import remembered
from muniment.trust.remembered import read_trust

SIGNER = Signer("log.example/a/b", bytes(32))
NOTES = [SIGNER.sign(str(Checkpoint("log.example/a/b", size, bytes(32)))) for size in (1, 2, 3)]
ANSWERS = [
    {"log": "a", "shard": "b", "first": n, "count": 1, "durability": "local", "receipt": note}
    for n, note in enumerate(NOTES)
]
PROOF = ProofFile(0, (bytes(32),), NOTES[1], b"entry")


def kept(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kept"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (json.dumps(ANSWERS[0]), NOTES[:1]),
        (json.dumps(ANSWERS[0], indent=2) + "\n", NOTES[:1]),
        ("\n".join(json.dumps(answer) for answer in ANSWERS), NOTES),
        ("\n" + json.dumps(ANSWERS[0]) + "\n\n" + json.dumps(ANSWERS[1]) + "\n", NOTES[:2]),
        (NOTES[0], NOTES[:1]),
        ("".join(NOTES), NOTES),
        (str(PROOF), NOTES[1:2]),
    ],
    ids=["answer", "indented", "answers", "blank-lines", "checkpoint", "checkpoints", "proof"],
)
def test_what_can_be_remembered(tmp_path: Path, text: str, notes: list[str]) -> None:
    assert read_trust(kept(tmp_path, text)) == notes


BAD = [
    "",
    "\n",
    "nonsense",
    "{}",
    "[]",
    "null",
    "{",
    "{}\n{}",
    json.dumps({"receipt": 5}),
    json.dumps({"receipt": ""}),
    json.dumps({"receipt": "nonsense"}),
    json.dumps(ANSWERS[0]) + "\n{}",
    json.dumps(ANSWERS[0])[:-1],
    NOTES[0][:-1],
    NOTES[0] + "more",
    NOTES[0].partition("\u2014")[0],
    SIGNER.sign("no checkpoint\n"),
    str(PROOF)[:-1],
    MAGIC,
    '{"a":' * 20_000,
]


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_cannot_is_refused_with_advice(tmp_path: Path, text: str) -> None:
    path = kept(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_trust(path)
    assert str(path) in error.value.detail


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError):
        read_trust(path)


def test_a_file_over_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept(tmp_path, NOTES[0])
    monkeypatch.setattr(remembered, "MAX_BYTES", len(NOTES[0].encode()))
    assert read_trust(path) == NOTES[:1]
    path.write_text(NOTES[0] + " ", encoding="utf-8")
    with pytest.raises(InputError, match="larger"):
        read_trust(path)


def test_a_file_that_is_not_there_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_trust(tmp_path / "gone")


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.text().map(lambda text: "{" + text), st.text("\n\u2014 ab1=")))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    try:
        for note in read_trust(kept(tmp_path, text)):
            Checkpoint.of_note(note)
    except InputError:
        return
