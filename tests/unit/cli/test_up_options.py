"""Options of `muniment up` that cannot be: named, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize(
    ("option", "value"),
    [("--store", "s3//x"), ("--nodes", "33"), ("--query", "33"), ("--host", "nowhere")],
)
def test_a_wish_that_cannot_be_names_its_option(
    run: Run, tmp_path: Path, option: str, value: str
) -> None:
    folder = tmp_path / "fleet"
    result = run("up", "--dir", folder, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for {option}" in result.output
    assert not folder.exists()


def test_a_folder_of_somebody_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    result = run("up", "--dir", tmp_path, "--edge", "none")
    assert result.exit_code == 2
    assert "holds no fleet, but" in result.output
    assert not (tmp_path / "lock").exists()
