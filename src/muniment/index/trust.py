"""Parts are looked at before they are used: each is what was written, or the index is damaged."""

from __future__ import annotations

from pathlib import Path

from muniment.index.damage import Finding, IndexDamaged
from muniment.index.part import Part, file_digest


class Trust:
    """What is known of the parts of one index; `damage` is what was found last. For any thread."""

    def __init__(self, directory: Path, log: str) -> None:
        self.damage: IndexDamaged | None = None
        self._directory, self._log = directory, log
        self._known: dict[str, tuple[int, int, int]] = {}

    def path(self, part: Part) -> Path:
        """Returns the path of a part whose content was checked since it last changed.

        Raises IndexDamaged where it is not what was written, and refuses all use from then on.
        """
        path = self._directory / part.path
        try:
            if self._known.get(part.path) != _state(path):
                state = _state(path)
                if file_digest(path) != part.digest:
                    detail = "does not have the SHA-256 that its name promises"
                    raise self.damaged(part.path, detail)
                self._known[part.path] = state
        except OSError as error:
            raise self.damaged(part.path, f"cannot be read: {error.strerror}") from error
        return path

    def remember(self, part: Part) -> None:
        """Trusts a part that was written just now. Raises OSError."""
        self._known[part.path] = _state(self._directory / part.path)

    def damaged(self, file: str, detail: str) -> IndexDamaged:
        """Notes that the index is damaged."""
        self.damage = IndexDamaged(self._log, Finding(file, detail))
        return self.damage


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
