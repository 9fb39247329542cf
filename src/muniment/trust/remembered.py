"""What somebody remembers of a log: receipts, checkpoints and proofs kept in another place."""

from __future__ import annotations

import json
from pathlib import Path

from muniment.errors import InputError
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.proof_file import MAGIC, ProofFile

MAX_BYTES = 64 << 20


def read_trust(path: Path) -> list[str]:
    """Returns the signed checkpoints in a file.

    The file holds an answer of the write interface (or several, one a line), one checkpoint or
    several one after the other, or a proof file. Signatures are not checked here. Raises
    InputError where it is none of these, OSError where it cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(MAGIC):
            notes = [ProofFile.parse(text).note]
        elif text.lstrip().startswith("{"):
            notes = _receipts(text)
        else:
            notes = split_notes(text)
        for note in notes:
            Checkpoint.of_note(note)
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be used as a memory of a log: {error}",
            advice="give a receipt (the answer to a write), a checkpoint or a proof file",
        ) from error
    if not notes:
        raise InputError(f"{path} holds no checkpoint")
    return notes


def _receipts(text: str) -> list[str]:
    try:
        answers = [json.loads(text)]
    except (ValueError, RecursionError):
        try:
            answers = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise InputError(f"neither one JSON object nor one a line: {error}") from error
    notes = [answer.get("receipt") for answer in answers if isinstance(answer, dict)]
    if not notes or not all(isinstance(note, str) for note in notes):
        raise InputError("a JSON object without a receipt")
    return [str(note) for note in notes]
