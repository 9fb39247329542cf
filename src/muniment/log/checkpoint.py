"""Checkpoints: what a log says of itself, and signs (C2SP tlog-checkpoint v1.0.0)."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from muniment.errors import InputError
from muniment.log.note import Note, decode_base64

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The origin, size (entries) and root hash (32 bytes) of a tree."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Reads a checkpoint's note text. Raises InputError where it is malformed."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop():
            raise InputError("a checkpoint has an origin, a size and a root line")
        origin, size, root, *extensions = lines
        if not origin or not _SIZE.fullmatch(size):
            raise InputError(f"{size!r} is no size of a checkpoint")
        if not all(extensions):
            raise InputError("an extension line of a checkpoint is not empty")
        digest = decode_base64(root)
        if len(digest) != 32:
            raise InputError(f"a root hash has 32 bytes, not {len(digest)}")
        return cls(origin, int(size), digest, tuple(extensions))

    @classmethod
    def of_note(cls, note: str) -> Checkpoint:
        """Reads a signed checkpoint without checking any signature."""
        return cls.parse(Note.parse(note).text)

    def __str__(self) -> str:
        lines = [self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions]
        return "\n".join(lines) + "\n"


def split_notes(text: str) -> list[str]:
    """Splits concatenated signed checkpoints. Raises InputError where one is cut short."""
    notes = []
    start = 0
    while start < len(text):
        body = text.find("\n\n", start)
        if body < 0:
            raise InputError(f"the checkpoint at byte {start} has no signatures")
        end = body + 2
        while text.startswith("\u2014 ", end):
            newline = text.find("\n", end)
            if newline < 0:
                raise InputError(f"the checkpoint at byte {start} is cut short")
            end = newline + 1
        if end == body + 2:
            raise InputError(f"the checkpoint at byte {start} has no signatures")
        notes.append(text[start:end])
        start = end
    return notes
