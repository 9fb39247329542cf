"""A node with sealed segments, copied for each test: making it syncs a lot."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent, HERE.parents[1] / "log"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from carried_shard import Node, make_shard, simulated  # noqa: E402


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    data = tmp_path_factory.mktemp("written") / "data"
    return data, make_shard(data)


@pytest.fixture
def entries(written: tuple[Path, list[bytes]]) -> list[bytes]:
    return written[1]


@pytest.fixture
def node(written: tuple[Path, list[bytes]], tmp_path: Path) -> Node:
    """A node with one simulated store."""
    data = tmp_path / "data"
    shutil.copytree(written[0], data)
    return Node(data, [simulated()])
