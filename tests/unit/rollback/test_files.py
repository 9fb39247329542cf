"""A file is replaced whole or not at all, and comes back where its system does not load it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from muniment.errors import TryLater
from muniment.rollback.files import FileChange, draft, read_bounded, replace
from muniment.rollback.port import ApplyFailed, CannotRollBack

OLD, NEW = b"old\n", b"new\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proxy.cfg"
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


class Asked:
    """What a system was asked, and what the file held then; it may refuse some of it."""

    def __init__(self, file: Path, refuses: str = "", times: int = 99) -> None:
        self._file, self._refuses, self._times = file, refuses, times
        self.said: list[tuple[str, bytes | None]] = []
        self.drafts: list[bytes | None] = []

    def __call__(self, act: str) -> Callable[[], str]:
        def asked() -> str:
            held = self._file.read_bytes() if self._file.exists() else None
            self.said.append((act, held))
            if act == self._refuses and self._times > 0:
                self._times -= 1
                raise TryLater(f"no {act}")
            return f"{act} done"

        return asked

    def validate(self, path: Path | None) -> str:
        self.drafts.append(path.read_bytes() if path else None)
        if path is not None:
            assert path.parent == self._file.parent and path.name.startswith(".")
        return self("validate")()

    def replace(self, change: FileChange) -> list[str]:
        return replace(change, self.validate, self("reload"), self("verify"))


def test_it_is_checked_replaced_loaded_and_looked_at(file: Path) -> None:
    asked = Asked(file)
    answers = asked.replace(FileChange(file, NEW, OLD))
    assert answers == ["validate done", f"{file} replaced", "reload done", "verify done"]
    assert asked.said == [("validate", OLD), ("reload", NEW), ("verify", NEW)]
    assert asked.drafts == [NEW]
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("act", ["validate", "reload", "verify"])
def test_what_is_refused_leaves_the_old_file(file: Path, act: str) -> None:
    asked = Asked(file, refuses=act, times=1)
    with pytest.raises(ApplyFailed, match=f"no {act}"):
        asked.replace(FileChange(file, NEW, OLD))
    assert file.read_bytes() == OLD
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]
    assert asked.said[-1] == (("validate" if act == "validate" else "reload"), OLD)


def test_a_reload_that_fails_twice_is_told(file: Path) -> None:
    asked = Asked(file, refuses="reload")
    with pytest.raises(ApplyFailed, match="putting the old file back failed too: no reload"):
        asked.replace(FileChange(file, NEW, OLD))
    assert file.read_bytes() == OLD


def test_a_file_that_others_changed_is_left_alone(file: Path) -> None:
    asked = Asked(file)
    with pytest.raises(ApplyFailed, match="changed by others"):
        asked.replace(FileChange(file, NEW, b"older\n"))
    assert file.read_bytes() == OLD
    assert [act for act, _ in asked.said] == ["validate"]


def test_files_are_made_and_removed(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.cfg"
    Asked(new).replace(FileChange(new, NEW, None, 0o600))
    assert new.read_bytes() == NEW
    assert new.stat().st_mode & 0o777 == 0o600
    asked = Asked(new, refuses="verify", times=1)
    with pytest.raises(ApplyFailed):
        asked.replace(FileChange(new, None, NEW))
    assert new.read_bytes() == NEW
    Asked(new).replace(FileChange(new, None, NEW))
    assert not new.exists()
    asked = Asked(new, refuses="reload", times=1)
    with pytest.raises(ApplyFailed):
        asked.replace(FileChange(new, NEW, None))
    assert not new.exists()


def test_a_link_stays_and_its_target_is_replaced(file: Path, tmp_path: Path) -> None:
    (tmp_path / "enabled").mkdir()
    link = tmp_path / "enabled" / "proxy.cfg"
    link.symlink_to(file)
    replace(FileChange(link, NEW, OLD), lambda _: "", lambda: "", lambda: "")
    assert link.is_symlink()
    assert file.read_bytes() == NEW
    assert list(link.parent.iterdir()) == [link]


def test_a_draft_is_gone_whatever_happens(file: Path) -> None:
    with pytest.raises(RuntimeError), draft(FileChange(file, NEW, OLD)) as path:
        assert path is not None and path.read_bytes() == NEW
        raise RuntimeError
    assert list(file.parent.iterdir()) == [file]


def test_only_plain_files_of_a_size_are_read(tmp_path: Path, file: Path) -> None:
    assert read_bounded(tmp_path / "none") is None
    assert read_bounded(file, 4) == OLD
    os.mkfifo(tmp_path / "pipe")
    for path, most in ((tmp_path, 99), (tmp_path / "pipe", 99), (file, 3)):
        with pytest.raises(CannotRollBack):
            read_bounded(path, most)


def test_a_directory_that_takes_no_files_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "proxy.cfg"
    with pytest.raises(ApplyFailed, match="cannot be written"):
        replace(FileChange(missing, NEW, None), lambda _: "", lambda: "", lambda: "")
