"""Promotion: a backup site says, with signatures, what it holds of the shards of another site.

Every shard that is only read here is verified whole. Receipts and checkpoints that were kept
elsewhere say how much there once was; what of that is not here is named, entry by entry. The
statement goes into this site's own log before anything else does, so that it is proved itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from muniment.clock import Clock, rfc3339
from muniment.data_directory import DataDirectory, Randomness
from muniment.data_names import LOGS
from muniment.errors import InputError, SignatureInvalid, TryLater
from muniment.log import Acknowledgement, Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk
from muniment.log.note import Note, Verifier
from muniment.log.report import Finding
from muniment.log.shard import VERIFIER
from muniment.log.verify import verify_shard
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.receive.target import Target
from muniment.settings import Settings
from muniment.shards import close_shards, open_shards
from muniment.store.read_only import ReadOnlyShard
from muniment.storing import Stores

ACTION = "site.promote"
SECONDS = 120.0
PER_RECORD = 20
"""Shards that one record tells of: a checkpoint is some 200 bytes, an entry 64 KiB at most."""

MAX_FINDINGS, MAX_FINDING = 5, 300
"""Findings of a shard in a record, and characters of each."""


@dataclass(frozen=True, slots=True)
class Held:
    """One shard as it is here: entries `minimum` to `size`, the checkpoint that signs them.

    `known` is the largest size that a checkpoint kept elsewhere proves; `findings` is what did not
    verify, also a checkpoint that this history contradicts.
    """

    log: str
    shard: str
    minimum: int
    size: int
    root: str
    checkpoint: str
    known: int
    findings: Sequence[Finding]

    @property
    def missing(self) -> tuple[int, int] | None:
        """First and last entry that there was once, and that is not here."""
        return (self.size, self.known - 1) if self.known > self.size else None

    @property
    def whole(self) -> bool:
        """Whether nothing is known to be missing, and nothing was wrong."""
        return self.missing is None and not self.findings

    def record(self) -> dict[str, object]:
        """Returns it for a record in the log."""
        found: dict[str, object] = {
            "log": self.log,
            "shard": self.shard,
            "minimum": self.minimum,
            "size": self.size,
            "root": self.root,
            "checkpoint": self.checkpoint,
        }
        if self.missing is not None:
            found["missing"] = list(self.missing)
        if self.findings:
            found["findings"] = [str(one)[:MAX_FINDING] for one in self.findings[:MAX_FINDINGS]]
        return found


def held_shards(
    settings: Settings,
    directory: DataDirectory,
    notes: Sequence[str],
    disk: Disk,
    progress: Callable[[int], None] | None = None,
) -> list[Held]:
    """Verifies the shards that are only read here; names those of `notes` that are not here.

    Raises Corrupt, SignatureInvalid, OSError.
    """
    held = _nowhere(settings, notes)
    for log in settings.logs:
        for name, path in directory.read_only(log).items():
            shard = ReadOnlyShard(log, path, disk)
            known = _known(Verifier.parse(shard.verifier), notes)
            within = [note for note in known if Checkpoint.of_note(note).size <= shard.size]
            report = verify_shard(path, trust=within, progress=progress, disk=disk)
            most = max((Checkpoint.of_note(note).size for note in known), default=0)
            held.append(
                Held(
                    log,
                    name,
                    report.minimum,
                    shard.size,
                    report.root,
                    shard.checkpoint() or "",
                    most,
                    report.findings,
                )
            )
    return held


def _nowhere(settings: Settings, notes: Sequence[str]) -> list[Held]:
    """The shards that somebody remembers, and of which nothing is here.

    Nor is their key, so nothing can be said of the signature on what is remembered.
    """
    here = set()
    for path in (settings.data / LOGS).glob(f"*/*/{VERIFIER}"):
        with suppress(InputError, UnicodeDecodeError):
            here.add(Verifier.parse(path.read_text()).name)
    sizes: dict[str, int] = {}
    for text in notes:
        found = Checkpoint.of_note(text)
        if found.origin not in here:
            sizes[found.origin] = max(found.size, sizes.get(found.origin, 0))
    held = []
    for origin, size in sorted(sizes.items()):
        _, log, shard = f"//{origin}".rsplit("/", 2)
        problem = (
            f"a checkpoint of {size:,} entries is known: nothing of the shard is here, nor its key "
            "to check that by"
        )
        held.append(Held(log, shard, 0, 0, "", "", 0, [Finding(origin, problem)]))
    return held


def _known(verifier: Verifier, notes: Sequence[str]) -> list[str]:
    """The checkpoints of one shard; each must be signed by its key."""
    found = []
    for text in notes:
        if Checkpoint.of_note(text).origin != verifier.name:
            continue
        try:
            Note.parse(text).check([verifier])
        except SignatureInvalid as error:
            raise SignatureInvalid(f"a checkpoint of {verifier.name}: {error.detail}") from error
        found.append(text)
    return found


def promote(
    settings: Settings,
    directory: DataDirectory,
    held: Sequence[Held],
    *,
    disk: Disk,
    clock: Clock,
    randomness: Randomness = os.urandom,
) -> list[Acknowledgement]:
    """Opens the shards that this site writes, and puts the statement into each log.

    What is known of logs that this site does not have goes into its first one.
    Returns the receipts. Raises SettingsError, Corrupt, TryLater.
    """
    stores = Stores(settings, directory, disk=disk, clock=clock, randomness=randomness)
    try:
        opened = open_shards(settings, directory, stores, clock)
        try:
            receipts, left = [], list(held)
            for log, shards in reversed(opened.items()):
                mine = [one for one in left if one.log == log or log == settings.logs[0]]
                left = [one for one in left if one not in mine]
                target = Target(log, shards)
                for batch in _batches(settings, clock, mine):
                    receipts.append(target.submit(batch).result(SECONDS))
            return receipts
        except TimeoutError as error:
            raise TryLater(f"no receipt within {SECONDS:g} s: run this again") from error
        finally:
            close_shards(opened)
    finally:
        stores.close()


def _batches(settings: Settings, clock: Clock, held: Sequence[Held]) -> list[Batch]:
    at, batches = rfc3339(clock.now()), []
    for start in range(0, len(held), PER_RECORD):
        part = held[start : start + PER_RECORD]
        record = {
            "actor": "muniment",
            "action": ACTION,
            "time": at,
            "resource": {"type": "site", "name": settings.node},
            "comment": summary(part),
            "held": [one.record() for one in part],
        }
        texts = [orjson.dumps(record)]
        origin = Origin("muniment", "muniment")
        batches.append(Batch(pack_records(texts, at, settings.node, origin)))
    return batches


def summary(held: Sequence[Held]) -> str:
    """Returns one sentence on what is held."""
    entries = sum(one.size - one.minimum for one in held)
    lost = sum(one.known - one.size for one in held if one.missing is not None)
    wrong = sum(bool(one.findings) for one in held)
    text = f"{len(held)} shards with {entries:,} entries are held here"
    if lost:
        text += f"; {lost:,} entries that were acknowledged elsewhere are not"
    if wrong:
        text += f"; {wrong} shards do not verify"
    return text


def statement(
    settings: Settings, held: Sequence[Held], receipts: Sequence[Acknowledgement], at: str
) -> Mapping[str, object]:
    """Returns the whole of it for a file: what is held, and the receipts of having said so."""
    return {
        "format": "muniment-promotion/1",
        "node": settings.node,
        "at": at,
        "held": [one.record() for one in held],
        "receipts": [one.receipt for one in receipts],
    }


def write_statement(path: Path, found: Mapping[str, object]) -> None:
    """Writes the statement; a file that is there is not replaced. Raises OSError."""
    with path.open("xb") as file:
        file.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
