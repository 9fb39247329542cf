"""The tests of stores use the clock and the simulated disk of those of the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.store.local_attribute import set_immutable

sys.path.append(str(Path(__file__).parents[1] / "log"))


@pytest.fixture(autouse=True)
def nothing_stays_immutable(request: pytest.FixtureRequest) -> Iterator[None]:
    """Locked files of a local store are immutable where root runs the tests: they could not go."""
    folder: Path | None = None
    if "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    yield
    for path in folder.rglob("*") if folder else ():
        if path.is_file() and not path.is_symlink():
            set_immutable(path, False)
