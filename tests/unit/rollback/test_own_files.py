"""A file is only put back where the settings of the section say that there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.balancer.haproxy import StatsSocket
from muniment.capture.redaction import redactor
from muniment.capture.snapshot import Snapshot, State
from muniment.capture.systems.files import is_named
from muniment.capture.systems.haproxy import Settings
from muniment.rollback.files import FileChange, draft
from muniment.rollback.haproxy_files import ConfigFiles
from muniment.rollback.port import ApplyFailed, CannotRollBack

WANTED: State = {"text": "* * * * * root sh\n", "mode": "0644", "owner": "root:root"}


def files(folder: Path) -> ConfigFiles:
    settings = Settings.model_validate(
        {
            "name": "lb1",
            "socket": str(folder / "none.sock"),
            "files": [f"{folder}/conf/*.cfg", f"{folder}/maps/**/*.map"],
            "reload": ["true"],
        }
    )
    return ConfigFiles(settings, StatsSocket(settings.socket), redactor(b"k" * 32))


@pytest.mark.parametrize(
    "own",
    [
        "conf/../cron",
        "conf/a.cfg/../../cron",
        "cron",
        "conf/deep/a.cfg",
        "conf/.a.cfg",
        "conf//a.cfg",
    ],
)
def test_nothing_is_written_outside_the_files_of_the_section(tmp_path: Path, own: str) -> None:
    (tmp_path / "conf").mkdir()
    name = f"{str(tmp_path).removeprefix('/')}/{own}"
    with pytest.raises(CannotRollBack, match=r"not a plain path|none of the section's"):
        files(tmp_path).plan(name, None, WANTED)
    assert [path.name for path in tmp_path.rglob("*")] == ["conf"]


@pytest.mark.parametrize("mode", ["4755", "01777", "x", "", 420, "07777777"])
def test_no_mode_but_that_of_a_file(tmp_path: Path, mode: object) -> None:
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf/a.cfg"
    file.write_text("old\n")
    live = Snapshot({**WANTED, "mode": "0644"})
    wanted: State = {**WANTED, "mode": mode}  # type: ignore[dict-item]
    with pytest.raises(CannotRollBack, match="no mode"):
        files(tmp_path).plan(str(tmp_path / "conf/b.cfg").removeprefix("/"), None, wanted)
    if isinstance(mode, str):
        with pytest.raises(CannotRollBack, match="no mode"):
            files(tmp_path).plan(str(file).removeprefix("/"), live, wanted)
    assert file.read_text() == "old\n"


def test_a_link_that_leads_to_nothing_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").symlink_to(tmp_path / "elsewhere")
    change = FileChange(tmp_path / "a.cfg", b"new", None)
    with pytest.raises(ApplyFailed, match="leads to nothing"), draft(change):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("/etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg", True),
        ("/etc/haproxy/a.cfg", "/etc/haproxy/*.cfg", True),
        ("/etc/haproxy/d/a.cfg", "/etc/haproxy/*.cfg", False),
        ("/etc/haproxy/d/e/a.map", "/etc/haproxy/**/*.map", True),
        ("/etc/haproxy/a.map", "/etc/haproxy/**/*.map", True),
        ("/etc/haproxy/.d/a.map", "/etc/haproxy/**/*.map", False),
        ("/etc/haproxy/.a.cfg", "/etc/haproxy/*", False),
        ("/etc/haproxy/a/b", "/etc/haproxy/**", True),
        ("/etc/shadow", "/etc/haproxy/**", False),
        ("/etc/haproxy", "/etc/haproxy/**", False),
    ],
)
def test_patterns_name_what_glob_would_find(path: str, pattern: str, fits: bool) -> None:
    assert is_named(path, [pattern]) is fits
