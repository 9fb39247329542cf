"""`muniment edge render`: what it writes, where, and when it refuses."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from edge_descriptions import EVERYTHING, MINIMAL, written

from muniment.cli import main
from muniment.edge import haproxy
from muniment.edge.renderers import NoBinary
from muniment.errors import SettingsError


def render(directory: Path, *arguments: str, text: str = MINIMAL, kind: str = "haproxy") -> Result:
    with contextlib.suppress(SettingsError):  # which the command has to say
        written(directory, text)
    command = ["edge", "render", kind, "--fleet", str(directory / "fleet.toml"), *arguments]
    return CliRunner().invoke(main, command)


def test_without_out_the_files_are_printed(tmp_path: Path) -> None:
    done = render(tmp_path, "--no-check")
    assert done.exit_code == 0, done.output
    assert "\n# --- residency.map\n" in done.output
    assert "    server n1 127.0.0.1:8470" in done.output


def test_a_directory_or_the_main_file_is_written(tmp_path: Path) -> None:
    done = render(tmp_path, "--no-check", "--out", str(tmp_path / "etc"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "etc" / "haproxy.cfg").read_text().endswith("\n")
    done = render(tmp_path, "--no-check", "--out", str(tmp_path / "other" / "edge.cfg"))
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        "edge.cfg",
        "residency.map",
    ]


def test_what_the_balancer_refuses_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "check", lambda _: "line 7: no")
    done = render(tmp_path, "--out", str(tmp_path / "etc"))
    assert done.exit_code == 1
    assert "line 7: no" in done.output
    assert "--no-check" in done.output
    assert not (tmp_path / "etc").exists()


def test_it_says_where_there_is_no_balancer_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: Path) -> None:
        raise NoBinary("haproxy is not installed here")

    monkeypatch.setattr(haproxy, "check", missing)
    done = render(tmp_path, "--out", str(tmp_path / "etc"))
    assert done.exit_code == 0
    assert "not checked: haproxy is not installed here" in done.output
    assert (tmp_path / "etc" / "haproxy.cfg").exists()


def test_a_wrong_description_is_said(tmp_path: Path) -> None:
    done = render(tmp_path, text=MINIMAL.replace("https", "htps"))
    assert done.exit_code == 2
    assert "listen.htps: there is no such key in a description" in done.output
    done = render(tmp_path, text=EVERYTHING.replace("nodes_name", "#"), kind="nginx")
    assert done.exit_code == 2
    assert "tls.nodes_name" in done.output


def test_it_says_which_role_nobody_has(tmp_path: Path) -> None:
    text = MINIMAL.replace("[[node]]", '[[node]]\nroles = ["ingest"]')
    done = render(tmp_path, "--no-check", text=text)
    assert done.exit_code == 0
    assert "no node has the role query" in done.output
