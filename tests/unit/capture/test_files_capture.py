"""Watched files: text, mode, owner; secrets out; nothing read twice or seen half written."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from test_certificate_facts import EC

from muniment.capture.redaction import redactor
from muniment.capture.snapshot import Snapshot
from muniment.capture.systems import files
from muniment.capture.systems.files import FilesWatcher, Globs, Settings, watchers

REDACT = redactor(b"k" * 32)


def seen(*patterns: Path | str) -> dict[str, Snapshot]:
    looked = Globs(tuple(map(str, patterns)), REDACT).look()
    return {f"/{name}": one for _, scope in looked for name, one in scope.files.items()}


def old(path: Path, content: str | bytes = "x") -> Path:
    """A file that was written a while ago."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (1_767_323_045, 1_767_323_045))
    return path


def test_a_file(tmp_path: Path) -> None:
    path = old(tmp_path / "a.cfg", "global\n")
    path.chmod(0o640)
    found = seen(path)[str(path)]
    assert found.state["text"] == "global\n"
    assert found.state["mode"] == "0640"
    assert found.state["size"] == 7
    assert ":" in str(found.state["owner"])
    assert found.by == {"time": "2026-01-02T03:04:05.000000Z"}
    assert found.names == [str(path)]


def test_a_touched_file_is_the_same(tmp_path: Path) -> None:
    path = old(tmp_path / "a.cfg")
    before = seen(path)[str(path)].version
    os.utime(path, (1, 1))
    assert seen(path)[str(path)].version == before
    path.chmod(0o600)
    assert seen(path)[str(path)].version != before


def test_patterns_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    a, b = old(tmp_path / "a.cfg"), old(tmp_path / "sub" / "b.cfg")
    old(tmp_path / ".a.cfg.muniment-1")
    os.mkfifo(tmp_path / "pipe.cfg")
    assert set(seen(tmp_path / "**" / "*")) == {str(a), str(b)}
    looked = list(Globs((str(tmp_path / "*.cfg"), str(a), str(b)), REDACT).look())
    assert [list(scope.files) for _, scope in looked] == [[str(a)[1:]], [], [str(b)[1:]]]
    assert seen(tmp_path / "none") == {}


def test_links_say_where_they_lead(tmp_path: Path) -> None:
    target, link = old(tmp_path / "t"), tmp_path / "l"
    link.symlink_to(target)
    assert seen(link)[str(link)].state["link"] == str(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    assert seen(tmp_path / "dangling") == {}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"x" * (files.MAX_TEXT + 1)])
def test_what_is_no_text_or_too_long_has_a_digest(tmp_path: Path, content: bytes) -> None:
    state = seen(old(tmp_path / "a", content))[str(tmp_path / "a")].state
    assert "text" not in state
    assert len(str(state["sha256"])) == 64


def test_a_key_file_tells_its_certificate_and_no_key(tmp_path: Path) -> None:
    found = seen(old(tmp_path / "a.pem", EC))[str(tmp_path / "a.pem")]
    assert found.redacted == ["/text"]
    assert "[redacted " in str(found.state["text"])
    assert EC.decode().splitlines()[-2] not in str(found.state)
    assert found.state["certificates"]["serial"] == "abcdef"  # type: ignore[index,call-overload]


def test_a_file_that_cannot_be_read_is_still_seen(tmp_path: Path) -> None:
    def refuse(path: Path, *_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = old(tmp_path / "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        state = seen(path)[str(path)].state
    assert state["error"] == "Permission denied"
    assert state["mode"]


def test_a_folder_that_fails_is_an_error_of_its_pattern(tmp_path: Path) -> None:
    def fail(path: Path, *_: Any) -> None:
        raise OSError(5, "Input/output error", str(path))

    a, b = old(tmp_path / "a"), old(tmp_path / "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", fail)
        looked = dict(Globs((str(a), str(b)), REDACT).look())
    assert looked[f"files {a}"].error == f"{a}: Input/output error"


def test_what_is_the_same_is_not_read_again(tmp_path: Path) -> None:
    path = old(tmp_path / "a", "one")
    globs = Globs((str(path),), REDACT)

    def text() -> object:
        ((_, looked),) = globs.look()
        return [one.state["text"] for one in looked.files.values()]

    assert text() == ["one"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "settled", lambda *_: pytest.fail("read again"))
        assert text() == ["one"]
    old(path, "two")
    assert text() == ["two"]
    path.unlink()
    assert text() == []


def test_a_file_is_not_seen_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old(tmp_path / "a", "before")
    globs = Globs((str(path),), REDACT)
    list(globs.look())
    monkeypatch.setattr(files, "SETTLE_SECONDS", 3.0)
    texts: list[object] = []
    for _ in range(3):
        path.write_text("")
        writer = _later(lambda: path.write_text("after"))
        ((_, looked),) = globs.look()
        writer.join()
        texts += [one.state["text"] for one in looked.files.values()]
    assert texts == ["after"] * 3


def _later(act: Callable[[], object]) -> threading.Thread:
    def wait_and_act() -> None:
        time.sleep(files.SETTLE_SECONDS / 4)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_a_section(tmp_path: Path) -> None:
    old(tmp_path / "a.cfg")
    context = {"folder": tmp_path}
    section = Settings.model_validate({"name": "edge", "paths": ["*.cfg"]}, context=context)
    (watcher,) = watchers(section, REDACT)
    assert isinstance(watcher, FilesWatcher)
    (observation,) = watcher.observe()
    assert observation.scope == f"files {tmp_path}/*.cfg"
    assert list(observation.objects) == [f"files:edge/file{tmp_path}/a.cfg"]
    with pytest.raises(ValidationError):
        Settings.model_validate({"name": "edge", "paths": []})


def test_too_many_files_are_an_error_and_not_a_flood(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MAX_FILES", 2)
        for number in range(3):
            old(tmp_path / str(number))
        ((_, looked),) = Globs((str(tmp_path / "*"),), REDACT).look()
    assert "more than 2 files" in looked.error
    assert looked.files == {}
