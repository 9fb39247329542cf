"""`muniment capture check`: what is missing is said before anything runs."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner

from muniment.capture.checks import problems
from muniment.capture.port import Observation
from muniment.capture.section import KINDS, Section
from muniment.capture.settings import load
from muniment.cli.capture import capture
from muniment.errors import Unavailable

CONFIG = """
name = "lb1"
endpoints = ["http://127.0.0.1:9"]
state = "state"
[[tail]]
name = "access"
as = "text"
paths = ["*.log", "there.txt"]
"""


class Blind:
    """A watcher that sees one of its two scopes."""

    name, every = "blind:x", 5.0

    def observe(self) -> Iterable[Observation]:
        yield Observation("servers")
        yield Observation("files", error="no right to read /etc/x")
        raise Unavailable("gone")

    def close(self) -> None:
        """Nothing is open."""


def config(directory: Path, text: str = CONFIG) -> Path:
    path = directory / "capture.toml"
    path.write_text(text)
    return path


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("blind_kind")
    module.Settings = type("Settings", (Section,), {})  # type: ignore[attr-defined]
    module.watchers = lambda _section, _redact: [Blind()]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blind_kind", module)
    monkeypatch.setitem(KINDS, "blind", "blind_kind")
    (tmp_path / "there.txt").touch()
    settings = load(config(tmp_path, CONFIG + '[[blind]]\nname = "x"\n'))
    assert [said.replace(str(tmp_path), "") for said in problems(settings)] == [
        "tail access: nothing is found at /*.log",
        "blind:x: no right to read /etc/x (files)",
        "blind:x: gone",
        "http://127.0.0.1:9 cannot be reached: [Errno 111] Connection refused",
    ]
    assert not (tmp_path / "state").exists(), "looking makes nothing"


def test_one_reason_is_told_once_and_patterns_without_files_are_named(tmp_path: Path) -> None:
    text = CONFIG + '[[haproxy]]\nname = "lb1"\nsocket = "no/admin.sock"\nfiles = ["h.cfg"]\n'
    told = [one.replace(str(tmp_path), "") for one in problems(load(config(tmp_path, text)))]
    assert "haproxy lb1: nothing is found at /h.cfg" in told
    (blind,) = (one for one in told if one.startswith("haproxy:lb1: "))
    assert blind.startswith("haproxy:lb1: /no/admin.sock: No such file or directory (process, ")


def test_a_configuration_without_sections_is_a_problem(tmp_path: Path) -> None:
    text = f'name = "a"\nendpoints = ["http://127.0.0.1:9"]\nstate = "{tmp_path}/state"\n'
    assert "nothing is followed" in next(iter(problems(load(config(tmp_path, text)))))


def test_the_commands_say_what_they_found(tmp_path: Path) -> None:
    path = str(config(tmp_path))
    runner = CliRunner()
    checked = runner.invoke(capture, ["check", "--config", path])
    assert checked.exit_code == 1
    assert "3 problems with what the agent needs" in checked.output
    key = runner.invoke(capture, ["key", "--config", path])
    assert key.output.startswith("lb1+")
    assert runner.invoke(capture, ["key", "--config", path]).output == key.output
    assert runner.invoke(capture, ["status", "--config", path]).exception is not None
    (tmp_path / "state" / "status.json").write_text(
        '{"agent":"lb1","time":"2026-11-21T10:00:00Z","process":1,"endpoint":"http://a","trouble":'
        '{"http://a":"is away"},"spool":{"held":5,"max":1024,"full":true},"streams":{"lb1/access":'
        '{"captured":2000,"acknowledged":1999}}}'
    )
    shown = runner.invoke(capture, ["status", "--config", path]).output
    assert "FULL" in shown
    assert "http://a: is away" in shown
    assert "lb1/access: 2,000 captured, 1,999 acknowledged, 1 wait" in shown
    as_json = runner.invoke(capture, ["status", "--json", "--config", path]).output
    assert '"process": 1' in as_json
    assert os.linesep in as_json
