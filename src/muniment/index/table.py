"""One log's index on disk: a Delta table whose every file can be checked.

A commit goes in this order, so that a crash at any point is told from damage and is mended:
1. `PENDING` appears: from here on, files that nothing names yet are leftovers, not strangers;
2. the parts are written, synced and named;
3. the Delta commit adds the parts and moves the cursors, in one file;
4. that file's digest goes into the manifest;
5. `PENDING` goes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from muniment.event.schema import SCHEMA
from muniment.index import manifest
from muniment.index.check import check_delta_log
from muniment.index.columns import leaf_columns
from muniment.index.damage import Finding, IndexDamaged, IndexInUse
from muniment.index.deltalog import (
    LAST_CHECKPOINT,
    LOG,
    checkpoint_path,
    commit_path,
    live_parts,
    transactions,
)
from muniment.index.manifest import LOCK, PENDING
from muniment.index.marks import Marks
from muniment.index.mend import mend, sweep_removed
from muniment.index.part import Part, file_digest, sync_directory

TABLE_SCHEMA = SCHEMA.append(pa.field("day", pa.string()))
"""The schema of the Delta table: the columns of an event and the day that it was received."""

_CHECKPOINT_EVERY = 64
_NOTHING: Mapping[str, int] = {}
_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_SETTINGS: dict[str, str | None] = {"delta.enableExpiredLogCleanup": "false"}


class IndexTable:
    """The Delta table of one log; the process that has it open is its only writer.

    `now` gives milliseconds since the epoch. Opening mends what a crash left and raises
    IndexDamaged, IndexInUse or OSError. `parts` are the live parts; `marks` say how far they go.
    """

    def __init__(
        self,
        directory: Path,
        log: str,
        *,
        now: Callable[[], int],
        sync: manifest.Sync = os.fsync,
    ) -> None:
        self.directory = directory
        self._log = log
        self._now = now
        self._sync = sync
        self._lock = Lock()
        self._pending = 0
        self._failed = False
        self._commits = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._handle = self._hold()
        try:
            self._table = self._open()
            self._widen()
            self.parts = live_parts(self._table)
            self._check_sizes()
            self.marks.count_absent(self.parts)
        except (DeltaError, ValueError) as error:
            self.close()
            raise IndexDamaged(log, Finding(LOG, f"cannot be read: {error}")) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the directory."""
        os.close(self._handle)

    @contextmanager
    def pending(self) -> Iterator[None]:
        """While this is open, a crash may leave files that no commit names."""
        with self._lock:
            if self._pending == 0:
                (self.directory / PENDING).touch()
                sync_directory(self.directory, self._sync)
            self._pending += 1
        try:
            yield
        except BaseException:
            self._failed = True
            raise
        finally:
            with self._lock:
                self._pending -= 1
                if self._pending == 0 and not self._failed:
                    (self.directory / PENDING).unlink(missing_ok=True)

    def commit(
        self,
        added: Sequence[Part],
        removed: Sequence[Part],
        cursors: Mapping[str, int] = _NOTHING,
        *,
        absent: Mapping[str, int] = _NOTHING,
        copies: Mapping[str, int] = _NOTHING,
    ) -> None:
        """Adds and removes parts and moves cursors, all or nothing; durable when it returns.

        So many entries of a shard more than before are `absent`, so many more `copies`. To be
        called within `pending`. After an OSError, the table must be opened anew.
        """
        change = not removed or not added
        actions: list[AddAction | RemoveAction] = [self._add(part, change) for part in added]
        actions += [
            RemoveAction(part.path, change, self._now(), part.size, {"day": part.day})
            for part in removed
        ]
        with self._lock:
            noted = self.marks.moved(cursors, absent, copies)
            try:
                self._table.create_write_transaction(
                    actions,
                    mode="append",
                    schema=TABLE_SCHEMA,
                    partition_by=["day"],
                    commit_properties=CommitProperties(
                        app_transactions=[Transaction(s, v) for s, v in noted.items()]
                    ),
                    post_commithook_properties=_HOOKS,
                )
                self._table.update_incremental()
            except DeltaError as error:
                raise OSError(f"the Delta commit failed: {error}") from error
            self._record(self._table.version())
            gone = {part.path for part in removed}
            self.parts = [part for part in self.parts if part.path not in gone] + list(added)

    def checkpoint_due(self) -> bool:
        """Whether enough commits have gathered to fold them into a checkpoint."""
        return self._commits >= _CHECKPOINT_EVERY

    def checkpoint(self) -> None:
        """Folds all commits into one checkpoint and drops the older ones. Raises OSError.

        To be called within `pending`.
        """
        with self._lock:
            version = self._table.version()
            try:
                self._table.create_checkpoint()
            except DeltaError as error:
                raise OSError(f"the Delta checkpoint failed: {error}") from error
            kept = [commit_path(version), checkpoint_path(version), LAST_CHECKPOINT]
            for path in kept:
                self._sync_file(path)
            sync_directory(self.directory / LOG, self._sync)
            digests = {path: file_digest(self.directory / path) for path in kept}
            self._commits = 1
            manifest.replace_manifest(self.directory, digests, self._sync)
            for file in (self.directory / LOG).iterdir():
                if f"{LOG}/{file.name}" not in digests:
                    file.unlink()

    def _hold(self) -> int:
        handle = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise IndexInUse(self._log) from error
        return handle

    def _open(self) -> DeltaTable:
        mend(self.directory, self._sync)
        if not (self.directory / LOG).exists() and not (self.directory / manifest.NAME).exists():
            self._create()
        checked = check_delta_log(self.directory)
        if checked.findings:
            raise IndexDamaged(self._log, checked.findings[0])
        self._commits = len(checked.digests)
        table = DeltaTable(str(self.directory))
        self.marks = Marks.of(transactions(self.directory, checked.digests))
        sweep_removed(self.directory, checked.digests, live_parts(table))
        return table

    def _widen(self) -> None:
        """Gives a table of an earlier version the columns that it lacks; its rows have null there.

        After a crash in between, the commit is undone like any other, and made again.
        """
        lacking = leaf_columns(TABLE_SCHEMA) - leaf_columns(pa.schema(self._table.schema()))
        if not lacking:
            return
        names = {path.partition(".")[0] for path in lacking}
        fields = [field for field in Schema.from_arrow(TABLE_SCHEMA).fields if field.name in names]
        with self.pending():
            self._table.alter.add_columns(fields, post_commithook_properties=_HOOKS)
            self._table.update_incremental()
            self._record(self._table.version())

    def _create(self) -> None:
        with self.pending():
            DeltaTable.create(
                str(self.directory),
                TABLE_SCHEMA,
                partition_by=["day"],
                name=self._log,
                configuration=_SETTINGS,
            )
            self._record(0)

    def _record(self, version: int) -> None:
        path = commit_path(version)
        self._sync_file(path)
        sync_directory(self.directory / LOG, self._sync)
        digest = file_digest(self.directory / path)
        manifest.append_manifest(self.directory, {path: digest}, self._sync)
        self._commits += 1

    def _sync_file(self, path: str) -> None:
        with (self.directory / path).open("rb") as file:
            self._sync(file.fileno())

    def _check_sizes(self) -> None:
        for part in self.parts:
            try:
                size = (self.directory / part.path).stat().st_size
            except OSError as error:
                finding = Finding(part.path, "is missing")
                raise IndexDamaged(self._log, finding) from error
            if size != part.size:
                finding = Finding(part.path, f"has {size} bytes instead of {part.size}")
                raise IndexDamaged(self._log, finding)

    def _add(self, part: Part, change: bool) -> AddAction:
        stats = {
            "numRecords": part.rows,
            "minValues": {"index": part.first, "time": part.earliest},
            "maxValues": {"index": part.last, "time": part.latest},
            "nullCount": {"index": 0, "time": 0},
        }
        return AddAction(
            path=part.path,
            size=part.size,
            partition_values={"day": part.day},
            modification_time=self._now(),
            data_change=change,
            stats=orjson.dumps(stats).decode(),
        )
