"""Mends what a crash in the middle of a commit left in an index: only when `PENDING` says so.

Anything else that is wrong is damage, and left for the check to find.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from muniment.index import manifest
from muniment.index.deltalog import (
    LAST_CHECKPOINT,
    LOG,
    actions,
    commit_path,
    commit_version,
    live_parts,
    removed_paths,
)
from muniment.index.manifest import PENDING
from muniment.index.part import Part, file_digest, sync_directory


def mend(directory: Path, sync: manifest.Sync = os.fsync) -> None:
    """Finishes or undoes the commit that was under way, and sweeps what no commit names.

    Raises OSError. Leaves `PENDING` where the files cannot be made sense of.
    """
    if not (directory / PENDING).exists():
        return
    try:
        digests = _finish(directory, _known(directory))
    except ValueError:
        return
    (directory / manifest.WORKING).unlink(missing_ok=True)
    if digests:
        manifest.replace_manifest(directory, digests, sync)
    else:
        (directory / manifest.NAME).unlink(missing_ok=True)
    _sweep_log(directory, digests)
    try:
        live = live_parts(DeltaTable(str(directory))) if digests else []
    except DeltaError:
        return
    keep = {part.path for part in live}
    for file in directory.glob("day=*/*"):
        if str(file.relative_to(directory)) not in keep:
            file.unlink()
    sync_directory(directory, sync)
    (directory / PENDING).unlink()


def sweep_removed(directory: Path, digests: Mapping[str, str], live: list[Part]) -> None:
    """Deletes parts that a merge has replaced. Raises OSError or ValueError."""
    keep = {part.path for part in live}
    for path in removed_paths(directory, digests) - keep:
        (directory / path).unlink(missing_ok=True)


def _known(directory: Path) -> dict[str, str]:
    """The manifest without a torn last line. Raises ValueError."""
    try:
        data = (directory / manifest.NAME).read_bytes()
    except FileNotFoundError:
        return {}
    return manifest.parse_manifest(data[: data.rfind(b"\n") + 1])


def _finish(directory: Path, known: dict[str, str]) -> dict[str, str]:
    """The manifest as it must be: with the last commit if it is whole, without half a checkpoint.

    Raises ValueError where a file that the manifest names is not what it was.
    """
    last = directory / LAST_CHECKPOINT
    if LAST_CHECKPOINT in known and (
        not last.exists() or file_digest(last) != known[LAST_CHECKPOINT]
    ):
        # A checkpoint was under way: the hint already points to it. Delta does without the hint.
        del known[LAST_CHECKPOINT]
        last.unlink(missing_ok=True)
    for path, digest in known.items():
        if not (directory / path).exists() or file_digest(directory / path) != digest:
            raise ValueError(f"{path} is not what it was")
    versions = [version for version in map(commit_version, known) if version is not None]
    if versions:
        path = commit_path(max(versions) + 1)
        if _whole(directory, path):
            known[path] = file_digest(directory / path)
    return known


def _whole(directory: Path, path: str) -> bool:
    """Whether a commit is there, can be read, and all that it adds is there."""
    try:
        found = list(actions(directory / path))
    except (OSError, ValueError):
        return False
    added = [action["add"] for action in found if "add" in action]
    return bool(added) and all(
        (directory / add["path"]).exists()
        and (directory / add["path"]).stat().st_size == add["size"]
        for add in added
    )


def _sweep_log(directory: Path, digests: Mapping[str, str]) -> None:
    folder = directory / LOG
    if not folder.exists():
        return
    for file in folder.iterdir():
        if f"{LOG}/{file.name}" not in digests:
            file.unlink()
    if not digests:
        folder.rmdir()
