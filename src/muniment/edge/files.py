"""The files of a balancer on disk: put in place all or none, and looked at for changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from muniment.edge.description import Description
from muniment.errors import SettingsError

Stamp = tuple[tuple[str, int, int, int], ...]


def check_own(directory: Path) -> None:
    """Raises SettingsError where somebody else could put other files there, or commands.

    What the system's own account made for this one may be open: it is a volume of a container.
    """
    found = directory.stat()
    own = found.st_uid == os.geteuid()
    if not own and found.st_uid != 0:
        raise SettingsError(f"{directory} is somebody else's: a balancer needs one of its own")
    if own and found.st_mode & 0o022:
        raise SettingsError(f"{directory} can be written by others: its mode must be 0755 or less")


def stage(directory: Path, files: Mapping[str, str]) -> Path:
    """Writes files into `next` in a directory, where the balancer can be asked about them."""
    staged = directory / "next"
    shutil.rmtree(staged, ignore_errors=True)
    for name, text in files.items():
        path = staged / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    return staged


def put_in_place(staged: Path, directory: Path, files: Iterable[str]) -> None:
    """Moves the staged files to where the balancer reads them; the main file comes last."""
    for name in reversed(list(files)):
        (directory / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (staged / name).replace(directory / name)
    shutil.rmtree(staged, ignore_errors=True)


def present(directory: Path, files: Mapping[str, str]) -> bool:
    """Whether files of these texts are in a directory already."""
    try:
        return all((directory / name).read_text() == text for name, text in files.items())
    except OSError:
        return False


def stamp(paths: Iterable[Path]) -> Stamp:
    """Returns what tells one state of some files from another, without reading them."""
    return tuple((str(path), *_stamp(path)) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def certificates(description: Description) -> list[Path]:
    """Returns the files that the balancer reads by itself, and reads again only when reloaded."""
    tls = description.tls
    found = (tls.certificate, tls.client_ca, tls.nodes_ca, tls.node_certificate)
    return list(dict.fromkeys(path for path in found if path is not None))


def content(paths: Iterable[Path]) -> str:
    """Returns a digest of files' contents: touched files that say the same need no reload."""
    digest = sha256()
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
