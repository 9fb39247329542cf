"""What was acknowledged of a file, and what is in flight, kept so that a break loses nothing.

Before a batch is sent, its range, digest and id are made durable. After a break the very same
bytes go out again under the same id, and the log, which knows the id if it took them, answers as
it did the first time.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from muniment.cli.sending.source import Identity
from muniment.errors import MunimentError, SettingsError

VERSION = 1
MAX_RECORD = 1 << 20


class InUse(MunimentError):
    """Another process is sending the same file to the same place."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a file goes. `media_type` tells lines of JSON from lines of text."""

    url: str
    log: str
    source: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Flight:
    """The batch that was sent and is not known to be acknowledged."""

    offset: int
    end: int
    digest: str
    id: str


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a file was sent: all before `offset`, which is `lines` lines.

    `head` (its length and SHA-256) and `tail` (the same, for what ends at `offset`) recognise the
    file. `open_line` says that the last line had no newline yet. `generation` makes the ids of a
    file that is sent again differ from the first. `shard` and `next` say where the last entry
    went, `receipt` what the log signed for it.
    """

    device: int
    inode: int
    path: str
    head: tuple[int, str] = (0, "")
    tail: tuple[int, str] = (0, "")
    offset: int = 0
    lines: int = 0
    open_line: bool = False
    generation: str = ""
    shard: str = ""
    next: int = 0
    receipt: str = ""
    flight: Flight | None = None

    def batch_id(self, offset: int, digest: str) -> str:
        """Returns the Idempotency-Key of a batch: the same for the same bytes at the same place."""
        parts = [self.device, self.inode, *self.head, self.generation, offset, digest]
        return "send-" + sha256(json.dumps(parts).encode()).hexdigest()[:40]


class Journal:
    """The record of one file and destination; open it with `lock`."""

    def __init__(self, path: Path, sent: Sent | None) -> None:
        self._path = path
        self.sent = sent

    @classmethod
    @contextmanager
    def lock(cls, directory: Path, to: Destination, file: Identity) -> Iterator[Journal]:
        """Yields the journal while nobody else can have it.

        Raises InUse while somebody has, SettingsError where the directory cannot be written.
        """
        stem = f"{_digest_of(to)}-{file.inode}"
        path = directory / f"{stem}-{file.device}.json"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(
                directory / f"{stem}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise SettingsError(
                f"{directory} cannot be written: {error.strerror}; it keeps what was acknowledged, "
                "set XDG_STATE_HOME to a directory that can"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"{file.path} is being sent there by another process") from None
            yield cls(path, _find(directory, stem, path, file))
        finally:
            os.close(handle)

    def write(self, sent: Sent) -> None:
        """Replaces the record; it is durable when this returns. Raises OSError."""
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"version": VERSION, **asdict(sent)}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.sent = sent


def _find(directory: Path, stem: str, path: Path, file: Identity) -> Sent | None:
    """The record of this file: by device and inode, or else by path and inode.

    Device numbers may change when a machine starts anew.
    """
    found = _read(path)
    if found is not None:
        return replace(found, path=file.path)
    others = (_read(other) for other in directory.glob(f"{stem}-*.json"))
    moved = [sent for sent in others if sent is not None and sent.path == file.path]
    return max(moved, key=lambda sent: sent.offset, default=None)


def _read(path: Path) -> Sent | None:
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(MAX_RECORD))
        if fields.pop("version") != VERSION:
            raise ValueError("another version")
        flight = fields.pop("flight")
        fields["head"], fields["tail"] = tuple(fields["head"]), tuple(fields["tail"])
        return Sent(**fields, flight=Flight(**flight) if flight else None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(
            f"{path} is not what `muniment send` writes ({error}); remove it to send the file "
            "from its beginning"
        ) from error


def _digest_of(to: Destination) -> str:
    return sha256(json.dumps(asdict(to)).encode()).hexdigest()[:16]
