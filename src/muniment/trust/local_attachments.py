"""Attachments of a data directory: each that an entry names is there, and is what it names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from muniment.data_names import ATTACHMENTS
from muniment.log.disk import Disk, PosixDisk
from muniment.log.report import Finding, Report
from muniment.store.attachments.check import LocalSource, check_attachments, claims_of
from muniment.store.attachments.files import Files


def find_attachments(directory: Path, report: Report, disk: Disk | None) -> Iterator[Finding]:
    """Checks the attachments of every log whose shards were read without findings."""
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
        checked = check_attachments(log, claims, [LocalSource(files, log)])
        report.notes += checked.notes
        yield from checked.findings
