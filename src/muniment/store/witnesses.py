"""Who else knows how much of a shard there once was: kept checkpoints, other stores, the wal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment.errors import InputError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Note, Verifier
from muniment.store.disk import StoreDisk, shard_names
from muniment.store.insist import Insist
from muniment.store.inventory import Inventory
from muniment.store.names import LOGS, shard_prefix
from muniment.store.port import Store
from muniment.store.shard_growth import Copy


@dataclass(frozen=True, slots=True)
class Newer:
    """A size that a shard once had for certain, and who says so."""

    size: int
    source: str


class Witnesses:
    """Hears what others say of restored shards; `newer` has the largest size of each shard."""

    def __init__(self, copies: Sequence[Copy], insist: Insist | None = None) -> None:
        self.newer: dict[tuple[str, str], Newer] = {}
        self._copies, self._insist = copies, insist or Insist()
        self._logs = {copy.log for copy in copies}

    def hear_notes(self, notes: Sequence[str]) -> None:
        """Takes signed checkpoints of any log that were kept elsewhere.

        Raises SignatureInvalid for one that the shard's key did not sign.
        """
        known = {copy.verifier.name: copy for copy in self._copies if copy.verifier is not None}
        for text in notes:
            checkpoint = Checkpoint.of_note(text)
            copy = known.get(checkpoint.origin)
            if copy is not None and copy.verifier is not None:
                Note.parse(text).check([copy.verifier])
                self._hear((copy.log, copy.shard), checkpoint.size, "--trust")
            elif checkpoint.origin.count("/") >= 2:
                _, log, shard = checkpoint.origin.rsplit("/", 2)
                self._hear((log, shard), checkpoint.size, "--trust")

    def hear_store(self, store: Store) -> None:
        """Takes what the companions in another store say. Raises StoreFailing."""
        disk = StoreDisk(store, Inventory.of(store, LOGS, self._insist), insist=self._insist)
        try:
            for log, shard in shard_names(disk.inventory):
                if log in self._logs:
                    size = _signed_size(disk, log, shard)
                    self._hear((log, shard), size, f"the store {store.name}")
        finally:
            disk.close()

    def hear_wal(self, store: Store, origin: str, pause: Callable[[float], None]) -> None:
        """Takes what write-ahead objects say. Raises StoreFailing, Corrupt."""
        from muniment.store.wal.names import ShardName
        from muniment.store.wal.scan import scan

        for copy in self._copies:
            view = scan(store, ShardName(origin, copy.log, copy.shard), pause)
            trees = [term.tree for term in view.terms.values() if term.tree is not None]
            size = max((tree.size for tree in trees), default=0)
            self._hear((copy.log, copy.shard), size, "the wal store")

    def _hear(self, name: tuple[str, str], size: int, source: str) -> None:
        if size > (self.newer[name].size if name in self.newer else 0):
            self.newer[name] = Newer(size, source)


def _signed_size(disk: StoreDisk, log: str, shard: str) -> int:
    """The size of the last companion; its checkpoints are checked where there is a verifier."""
    path = Path(shard_prefix(log, shard))
    try:
        verifier = Verifier.parse(disk.object(str(path / "verifier")).decode())
        newest = disk.companions(path).newest
        if newest is not None:
            Note.parse(newest).check([verifier])
    except (FileNotFoundError, InputError, SignatureInvalid, UnicodeDecodeError):
        return 0
    return disk.companions(path).size
