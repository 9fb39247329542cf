"""Proof files: one entry's place in a log, checkable offline (C2SP tlog-proof v1)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from muniment.errors import InputError, ProofInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import check_inclusion, leaf_hash
from muniment.log.note import Note, Verifier, decode_base64

MAGIC = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProofFile:
    """`path` goes from the leaf's sibling upward; `note` is the signed checkpoint verbatim.

    `extra` is opaque to the format; Muniment puts the entry's bytes there, so that the file can
    be checked on its own.
    """

    index: int
    path: tuple[bytes, ...]
    note: str
    extra: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> ProofFile:
        """Raises InputError naming what is malformed."""
        head, _, note = text.partition("\n\n")
        lines = head.split("\n")
        if lines.pop(0) != MAGIC:
            raise InputError(f"a proof file begins with the line {MAGIC}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0).removeprefix("extra "))
        index = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if index is None:
            raise InputError("a proof file has an index line")
        path = tuple(decode_base64(line) for line in lines)
        if len(path) > MAX_PATH or any(len(hash_) != 32 for hash_ in path):
            raise InputError(f"an inclusion proof has at most {MAX_PATH} hashes of 32 bytes")
        Checkpoint.of_note(note)
        return cls(int(index[1]), path, note, extra)

    def __str__(self) -> str:
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines.extend(b64encode(hash_).decode() for hash_ in self.path)
        return "\n".join(lines) + "\n\n" + self.note

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the proof leads to; its signatures are not checked here."""
        return Checkpoint.of_note(self.note)

    def check(self, entry: bytes, trusted: Sequence[Verifier]) -> Checkpoint:
        """Returns the checkpoint under which `entry` provably stands.

        Raises ProofInvalid where the path or the origin is wrong, SignatureInvalid where no
        trusted key signed or a signature is wrong.
        """
        note = Note.parse(self.note)
        signers = note.check(trusted)
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin not in {signer.name for signer in signers}:
            raise ProofInvalid(f"the log's own key did not sign for {checkpoint.origin}")
        check_inclusion(self.index, checkpoint.size, leaf_hash(entry), self.path, checkpoint.root)
        return checkpoint
