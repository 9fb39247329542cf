"""Watches files by name: their text, mode and owner, with the secrets in them redacted.

    {"text": "global\\n...", "size": 1024, "mode": "0640", "owner": "root:haproxy"}

`link` is there for a symbolic link and says where it leads. A file that is no UTF-8 text, or larger
than 1 MiB, has `sha256` instead of `text`; one that cannot be read has `error`. Where there are
certificates in it, `certificates` says what they are. When it was written last is not part of the
state: it is `by.time`.
"""

from __future__ import annotations

import fnmatch
import glob
import grp
import os
import pwd
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import AfterValidator, Field, ValidationInfo

from muniment.capture.port import Observation, Watcher
from muniment.capture.redaction import Redact
from muniment.capture.section import Watched
from muniment.capture.snapshot import Snapshot, State
from muniment.capture.systems import certificates
from muniment.capture.systems.text_secrets import redacted
from muniment.clock import rfc3339
from muniment.errors import InputError

MAX_TEXT = 1 << 20
MAX_READ = 256 << 20
MAX_FILES = 2_000
SETTLE_SECONDS = 0.2
"""A file that was written less than this ago is read again until it stays the same."""

_SETTLE_TRIES = 5


def _path(given: str, info: ValidationInfo) -> str:
    folder = (info.context or {}).get("folder")
    return str(Path(folder or "/") / given) if given else ""


OnePath = Annotated[str, AfterValidator(_path)]
"""A path, taken from the folder of the agent's configuration; empty: none."""

Patterns = tuple[Annotated[str, Field(min_length=1), AfterValidator(_path)], ...]
"""Paths or patterns of paths, taken from the same folder."""


class Settings(Watched):
    """A section `[[files]]`."""

    paths: Patterns = Field(
        min_length=1, max_length=256, description="Files, by path or pattern (`*`, `?`, `**`)."
    )


def watchers(settings: Settings, redact: Redact) -> list[Watcher]:
    """Returns the watcher of a section."""
    return [FilesWatcher(settings, redact)]


class FilesWatcher:
    """Looks at the files of a section."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self.name = f"files:{settings.name}"
        self.every = settings.every
        self._globs = Globs(settings.paths, redact)

    def observe(self) -> Iterator[Observation]:
        for scope, looked in self._globs.look():
            objects = {f"{self.name}/file/{own}": one for own, one in looked.files.items()}
            yield Observation(scope, objects, error=looked.error)

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(slots=True)
class Looked:
    """The files of a pattern, by absolute path without its first slash; or why they are unseen."""

    files: dict[str, Snapshot] = field(default_factory=dict)
    error: str = ""


_Mark = tuple[int, ...]


class Globs:
    """Files by patterns. What did not change since the look before is not read again."""

    def __init__(self, patterns: tuple[str, ...], redact: Redact) -> None:
        self._patterns, self._redact = patterns, redact
        self._seen: dict[str, tuple[_Mark, Snapshot]] = {}

    def look(self) -> Iterator[tuple[str, Looked]]:
        """Yields each pattern's scope and files; a file belongs to the first that has it."""
        taken: set[str] = set()
        for pattern in self._patterns:
            looked = Looked()
            try:
                self._fill(looked.files, pattern, taken)
            except OSError as error:
                looked = Looked(error=f"{error.filename or pattern}: {error.strerror}")
            except InputError as error:
                looked = Looked(error=error.detail)
            yield f"files {pattern}", looked
        self._seen = {path: one for path, one in self._seen.items() if path in taken}

    def _fill(self, files: dict[str, Snapshot], pattern: str, taken: set[str]) -> None:
        found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute one)
        for number, path in enumerate(found):
            if number >= MAX_FILES * 8 or len(files) >= MAX_FILES:
                raise InputError(f"{pattern}: more than {MAX_FILES:,} files")
            if path in taken:
                continue
            snapshot = self._look_at(path)
            if snapshot is not None:
                files[path.removeprefix("/")] = snapshot
                taken.add(path)

    def _look_at(self, path: str) -> Snapshot | None:
        mark, seen = self._seen.get(path, ((), None))
        now = _mark(path)
        if now is None:
            return None
        if seen is None or now != mark:
            seen = settled(Path(path), self._redact)
            after = _mark(path)
            if seen is None or after is None:
                return None
            self._seen[path] = (now, seen)
        return seen


def is_named(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns names a path as `glob` would; nothing needs to be there."""
    parts = path.split("/")
    return any(_fits(parts, pattern.split("/")) for pattern in patterns)


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether folders and file fit a pattern; `**` is any number of folders, none hidden."""
    if pattern and pattern[-1] == "**":  # files as well as folders
        pattern = [*pattern, "*"]
    reached = {0}
    for one in pattern:
        if one == "**":
            for at in sorted(reached):
                while at < len(parts) - 1 and not parts[at].startswith("."):
                    at += 1
                    reached.add(at)
        else:
            reached = {at + 1 for at in reached if at < len(parts) and _fits_name(parts[at], one)}
    return len(parts) in reached


def _fits_name(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and not pattern.startswith(".")
    return name == pattern or (not hidden and fnmatch.fnmatchcase(name, pattern))


def _mark(path: str) -> _Mark | None:
    """What differs when a file was touched; None where it is no regular file."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    link = Path(path).lstat()
    parts = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return (*parts, link.st_ino, link.st_ctime_ns)


def settled(path: Path, redact: Redact) -> Snapshot | None:
    """Returns the file once nobody seems to be writing it; None where there is none."""
    for _ in range(_SETTLE_TRIES):
        before = _mark(str(path))
        if before is None:
            return None
        age = time.time() - before[3] / 1e9
        if 0 <= age < SETTLE_SECONDS:
            time.sleep(SETTLE_SECONDS - age)
        elif (snapshot := look_at(path, redact)) is None or _mark(str(path)) == before:
            return snapshot
    return look_at(path, redact)


def look_at(path: Path, redact: Redact) -> Snapshot | None:
    """Returns a file as it is now; None where there is no such regular file. Raises OSError."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        state: State = {
            "size": found.st_size,
            "mode": f"{stat.S_IMODE(found.st_mode):04o}",
            "owner": f"{_user(found.st_uid)}:{_group(found.st_gid)}",
        }
        if path.is_symlink():
            state["link"] = os.fsdecode(path.readlink()).encode("utf-8", "replace").decode()
        content, redactions = _content(path, found.st_size, redact)
    except (FileNotFoundError, NotADirectoryError):
        return None
    written = datetime.fromtimestamp(found.st_mtime, UTC)
    return Snapshot(
        state | content,
        redacted=["/text"] if redactions else (),
        names=[str(path)],
        by={"time": rfc3339(written)},
    )


def _content(path: Path, size: int, redact: Redact) -> tuple[State, Mapping[str, str]]:
    try:
        with path.open("rb") as file:
            if size > MAX_TEXT:
                return {"sha256": _digest(file)}, {}
            data = file.read(MAX_TEXT + 1)
    except PermissionError as error:
        return {"error": error.strerror or "permission denied"}, {}
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return {"sha256": sha256(data).hexdigest()}, {}
    if len(data) > MAX_TEXT or "\0" in text:
        return {"sha256": sha256(data).hexdigest()}, {}
    made = redacted(text, redact)
    content: State = {"text": made.text}
    try:
        described = certificates.described(data)
    except InputError as error:
        described = {"error": error.detail}
    if described is not None:
        content["certificates"] = described
    return content, made.secrets


def _digest(file: BinaryIO) -> str:
    digest, left = sha256(), MAX_READ
    while left > 0 and (chunk := file.read(min(1 << 20, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@lru_cache(maxsize=1024)
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
