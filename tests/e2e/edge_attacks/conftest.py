"""The edges under attack: each suite runs against every kind, and skips where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness.attacks_edges import KINDS, AttackedEdge, attacked


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which balancer it is."""
    return str(request.param)


@pytest.fixture(scope="module")
def edge(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedEdge]:
    """An edge open to all addresses, where a client certificate may be shown."""
    with attacked(kind, tmp_path_factory.mktemp(kind)) as found:
        yield found
