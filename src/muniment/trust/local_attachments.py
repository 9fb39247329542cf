"""Attachments of a data directory: each that an entry names is there, and is what it names.

After a takeover they are in the primary store only; there they are looked for where it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from muniment.data_names import ATTACHMENTS
from muniment.log.disk import Disk, PosixDisk
from muniment.log.report import Finding, Report
from muniment.store.attachments.check import (
    LocalSource,
    StoreSource,
    check_attachments,
    claims_of,
)
from muniment.store.attachments.copies import Copies
from muniment.store.attachments.files import Files
from muniment.store.port import Store


class _Attachments:
    """The attachments of a log on the disk, and what is not there in the store behind it."""

    def __init__(self, local: LocalSource, log: str, primary: Callable[[], Store | None]) -> None:
        self._local, self._log, self._primary = local, log, primary
        self.place, self.names = local.place, local.names

    def pieces(self, sha256: bytes) -> Iterator[bytes] | None:
        found = self._local.pieces(sha256)
        store = self._primary() if found is None else None
        if store is None:
            return found
        copies = Copies(store, lambda _log: None)
        return StoreSource(copies, self._log, store.url).pieces(sha256)


def find_attachments(
    directory: Path, report: Report, disk: Disk | None, primary: Callable[[], Store | None]
) -> Iterator[Finding]:
    """Checks the attachments of every log whose shards were read without findings.

    `primary` gives the store behind the directory, where settings name one.
    """
    logs: dict[str, list[tuple[Path, int]]] = {}
    unread = {Path(shard.directory).parent.name for shard in report.shards if shard.findings}
    for shard in report.shards:
        path = Path(shard.directory)
        logs.setdefault(path.parent.name, []).append((path, shard.size))
    files = Files(directory / ATTACHMENTS, PosixDisk(), max_bytes=0)
    for log, shards in logs.items():
        if log in unread:
            report.notes.append(f"{log}: attachments are not checked: see the findings")
            continue
        claims = chain.from_iterable(claims_of(path, size, disk) for path, size in shards)
        checked = check_attachments(
            log, claims, [_Attachments(LocalSource(files, log), log, primary)]
        )
        report.notes += checked.notes
        yield from checked.findings
