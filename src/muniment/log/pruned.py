"""The pruned note: a shard's own word that all its entries below an index have expired.

    muniment.dev/pruned/v1
    <origin>
    <minimum index>
    <index of the entry that says so>
    <root of the tree of that many entries, base64>
    <leaf hash of an expired entry, base64>     for each from the last multiple of 256 on

The text is signed by the shard's key (C2SP signed-note). The leaf hashes are those of the level-0
tile that expired in part: with them and the tile files, the root of every tree of `minimum` or
more entries, and the proof of every entry that remains, can be computed. The entry (action
`retention.expired`) stands in the same shard, under a checkpoint that was published before the
note was written; `pruned` is only ever replaced by a note with a larger minimum.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, InputError, SignatureInvalid
from muniment.log.disk import Disk
from muniment.log.note import Note, Signer, Verifier, decode_base64
from muniment.log.tiles import HASH, WIDTH

PRUNED = "pruned"
MAGIC = "muniment.dev/pruned/v1"
EXPIRED = "retention.expired"
MAX_BYTES = 64 << 10

_VERIFIER = "verifier"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a note says. `root` is the tree's at `minimum`; `edge` are 32 bytes a leaf hash.

    `note` is the signed text, as it is stored.
    """

    origin: str
    minimum: int
    act: int
    root: bytes
    edge: bytes
    note: str = field(compare=False)

    @classmethod
    def sign(cls, signer: Signer, minimum: int, act: int, root: bytes, edge: bytes) -> Pruned:
        """Makes the note of a shard's key. Raises ValueError where the numbers do not fit."""
        if not 0 < minimum <= act or len(edge) != minimum % WIDTH * HASH or len(root) != HASH:
            raise ValueError(f"no note can say minimum {minimum}, act {act}")
        origin = signer.verifier.name
        hashes = [root, *(edge[i : i + HASH] for i in range(0, len(edge), HASH))]
        lines = [MAGIC, origin, str(minimum), str(act)]
        lines += [b64encode(hash_).decode() for hash_ in hashes]
        return cls(origin, minimum, act, root, edge, signer.sign("\n".join(lines) + "\n"))

    @classmethod
    def parse(cls, note: str, verifier: Verifier) -> Pruned:
        """Reads a note of this key's shard, and checks its signature.

        Raises InputError where it is malformed or of another shard, SignatureInvalid.
        """
        parsed = Note.parse(note)
        parsed.check([verifier])
        lines = parsed.text.split("\n")[:-1]
        if len(parsed.signatures) != 1 or len(lines) < 5 or lines[0] != MAGIC:
            raise InputError(f"a pruned note has the line {MAGIC}, four more, and one signature")
        if lines[1] != verifier.name:
            raise InputError(f"the note is of {lines[1]}, not of {verifier.name}")
        if not (_NUMBER.fullmatch(lines[2]) and _NUMBER.fullmatch(lines[3])):
            raise InputError("a pruned note states a minimum and the index of an entry")
        minimum, act = int(lines[2]), int(lines[3])
        root, *edge = [decode_base64(line) for line in lines[4:]]
        if any(len(hash_) != HASH for hash_ in (root, *edge)):
            raise InputError("the hashes of a pruned note have 32 bytes")
        if not 0 < minimum <= act or len(edge) != minimum % WIDTH:
            raise InputError(f"minimum {minimum}, entry {act}, {len(edge)} hashes: do not agree")
        return cls(verifier.name, minimum, act, root, b"".join(edge), note)

    def check_frontier(self, frontier: bytes) -> bool:
        """Whether root and edge are those of a tree of `minimum` entries with this frontier."""
        perfect = HASH * (self.minimum // WIDTH).bit_count()
        start = self.minimum - self.minimum % WIDTH
        whole = kernel.extend(frontier[:perfect], start, self.edge)[0] if self.edge else frontier
        return whole == frontier and kernel.root(frontier) == self.root

    def is_stated_by(self, entry: bytes) -> bool:
        """Whether an entry is the act that the note names."""
        try:
            stated = json.loads(entry.partition(b"\n")[2])
        except (ValueError, RecursionError):
            return False
        return isinstance(stated, dict) and all(
            stated.get(name) == value
            for name, value in (
                ("action", EXPIRED),
                ("origin", self.origin),
                ("minimum", self.minimum),
                ("root", self.root.hex()),
            )
        )


def read_pruned(disk: Disk, directory: Path, verifier: Verifier) -> Pruned | None:
    """Returns the note in a shard's directory, or None. Raises Corrupt where it does not hold."""
    path = directory / PRUNED
    try:
        data = disk.read(path, 0, MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    return parse_pruned(data, str(path), verifier)


def own_pruned(disk: Disk, directory: Path) -> Pruned | None:
    """Returns the note in a shard's directory by the key beside it, or None. Raises Corrupt."""
    path = directory / _VERIFIER
    try:
        disk.size(directory / PRUNED)  # hardly any shard has one
        verifier = Verifier.parse(disk.read(path).decode())
    except FileNotFoundError:
        return None
    except (InputError, UnicodeDecodeError) as error:
        raise Corrupt(str(path), 0, "a verifier key", str(error)) from error
    return read_pruned(disk, directory, verifier)


def parse_pruned(data: bytes, where: str, verifier: Verifier) -> Pruned:
    """Reads the bytes of a note; `where` names it in the error. Raises Corrupt."""
    try:
        if len(data) > MAX_BYTES:
            raise InputError(f"it is longer than {MAX_BYTES} bytes")
        return Pruned.parse(data.decode(), verifier)
    except (InputError, SignatureInvalid, UnicodeDecodeError) as error:
        expected = f"a pruned note signed by {verifier.name}"
        raise Corrupt(where, 0, expected, str(error)[:200]) from error
