"""Fixtures of the query tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from query_fixture import index_in

from muniment.index.log_index import LogIndex
from muniment.query.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """DuckDB as the query process has it."""
    made = Engine(clock=time.monotonic)
    yield made
    made.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LogIndex]:
    """An empty index."""
    with index_in(tmp_path) as made:
        yield made
