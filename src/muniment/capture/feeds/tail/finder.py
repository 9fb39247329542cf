"""Finding the files of a section: a thread of its own, so that a full spool misses no rotation.

A file is opened as soon as it is found. A rotated one can thereby be read to its end, though it
was renamed or removed meanwhile.
"""

from __future__ import annotations

import glob
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock

from muniment.capture.feeds.tail.followed import Followed, Known
from muniment.clock import Clock

POLL_SECONDS = 0.25
MAX_FILES = 256
COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip")

_logger = logging.getLogger(__name__)


class Finder:
    """The files that a section follows, in the order in which they were found."""

    def __init__(self, patterns: Sequence[str], clock: Clock) -> None:
        self._patterns, self._clock = patterns, clock
        self._lock = Lock()
        self._files: dict[tuple[int, int], Followed] = {}
        self._withheld: dict[int, Known] = {}
        self._left_out: set[str] = set()
        self._untold: list[tuple[str, str]] = []

    @property
    def files(self) -> list[Followed]:
        """The files now."""
        with self._lock:
            return list(self._files.values())

    @property
    def withheld(self) -> list[Known]:
        """Files of the position that are there and cannot be opened now."""
        with self._lock:
            return list(self._withheld.values())

    def run(self, stopping: Event) -> None:
        """Looks again and again until `stopping` is set."""
        while not stopping.wait(POLL_SECONDS):
            try:
                self.look()
            except OSError as error:
                _logger.warning("files cannot be found: %s", error)

    def look(self, prepare: Callable[[Followed], None] = lambda _: None) -> None:
        """Opens what is new and marks what no pattern finds any more.

        `prepare` says where to begin in a new file. Raises OSError.
        """
        found: set[tuple[int, int]] = set()
        paths: set[str] = set()
        for path in self._paths():
            paths.add(path)
            try:
                status = Path(path).stat()
            except OSError:
                continue
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISREG(status.st_mode):
                continue
            found.add(identity)
            if identity not in self._files:
                self._open(path, prepare)
        for file in self.files:
            file.named = file.identity in found
        self._left_out &= paths

    def restore(self, known: Known) -> Followed | None:
        """Opens the file that a position speaks of, wherever in its folder it is now.

        Returns None where it is there no more. Where it cannot be opened it is `withheld`, and goes
        on there once it can; raises OSError then.
        """
        try:
            for path in (known.path, *_others(known)):
                with suppress(FileNotFoundError, NotADirectoryError):
                    if Path(path).stat().st_ino != known.inode:
                        continue
                    file = Followed(path, _open(path), self._clock.monotonic())
                    if file.go_on(known):
                        self._add(file)
                        return file
                    file.close()
        except OSError as error:
            self._leave_out(known.path, error.strerror or "it cannot be opened")
            with self._lock:
                self._withheld[known.inode] = known
            raise
        return None

    def take_left_out(self) -> list[tuple[str, str]]:
        """Returns files that cannot be followed, each with the reason; each once."""
        with self._lock:
            found, self._untold = self._untold, []
        return found

    def leave(self, file: Followed) -> None:
        """Follows a file no more."""
        with self._lock:
            del self._files[file.identity]
        file.close()

    def close(self) -> None:
        """Closes all files."""
        for file in self.files:
            self.leave(file)

    def _paths(self) -> Iterator[str]:
        """What the patterns find, the file changed longest ago first."""
        for pattern in self._patterns:
            if not glob.has_magic(pattern):
                yield pattern
                continue
            paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 (absolute patterns)
            paths = [path for path in paths if not path.endswith(COMPRESSED)]
            yield from sorted(paths, key=_changed)

    def _open(self, path: str, prepare: Callable[[Followed], None]) -> None:
        if len(self._files) >= MAX_FILES:
            self._leave_out(path, f"{MAX_FILES} files are followed already")
            return
        with suppress(FileNotFoundError):
            try:
                file = Followed(path, _open(path), self._clock.monotonic())
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise
                self._leave_out(path, error.strerror or "it cannot be opened")
                return
            if file.identity in self._files:
                file.close()
                return
            known = self._withheld.get(file.inode)
            if known is None or not file.go_on(known):
                prepare(file)
            self._add(file)
            self._left_out.discard(path)

    def _leave_out(self, path: str, why: str) -> None:
        if path in self._left_out or len(self._left_out) > MAX_FILES:
            return
        if len(self._left_out) == MAX_FILES:
            why = f"{why}; there are more such files, and nothing is told of them"
        _logger.error("%s is not followed: %s", path, why)
        with self._lock:
            self._left_out.add(path)
            self._untold.append((path, why))

    def _add(self, file: Followed) -> None:
        with self._lock:
            self._withheld.pop(file.inode, None)
            self._files[file.identity] = file


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _others(known: Known) -> Iterator[str]:
    """The files of the folder that have the inode looked for."""
    with suppress(FileNotFoundError), os.scandir(Path(known.path).parent) as entries:
        for entry in entries:
            if entry.inode() == known.inode:
                yield entry.path


def _changed(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0
